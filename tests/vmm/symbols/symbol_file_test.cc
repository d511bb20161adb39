// SPDX-License-Identifier: Apache-2.0
// The file of --symbols: what is known at the start, and what a report says.
#include "vmm/symbols/symbol_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "tests/vmm/symbols/symbol_elf.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class SymbolFileTest : public testing::Test {
 protected:
  void SetUp() override { std::remove(path_.c_str()); }
  void TearDown() override { std::remove(path_.c_str()); }
  void Write(const std::string& text) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  absl::StatusOr<SymbolFile> Open() {
    return SymbolFile::Open(path_, kTestMachine);
  }

  const std::string path_ = testing::TempDir() + "symbol_file_test.symbols";
};

TEST_F(SymbolFileTest, AMissingFileIsKnownAtTheStart) {
  const auto file = Open();
  EXPECT_EQ(ExitStatusFor(file.status()), 66);
  EXPECT_THAT(std::string(file.status().message()),
              StartsWith("--symbols " + path_));
}

TEST_F(SymbolFileTest, AWrongFileIsKnownAtTheStart) {
  Write("MZ this is no list");
  EXPECT_EQ(ExitStatusFor(Open().status()), 65);
  Write("");
  EXPECT_EQ(ExitStatusFor(Open().status()), 65);
  const auto folder = SymbolFile::Open(testing::TempDir(), kTestMachine);
  EXPECT_THAT(std::string(folder.status().message()), HasSubstr("regular"));
  std::remove(path_.c_str());
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(std::string(Open().status().message()), HasSubstr("regular"));
}

TEST_F(SymbolFileTest, IsReadOnceAndLate) {
  // Cut off behind what the start looks at.
  Write(SymbolElf({{"first", 0x1000}}).substr(0, 100));
  auto file = Open();
  ASSERT_TRUE(file.ok()) << file.status();
  const auto symbols = file->Load();
  EXPECT_THAT(std::string(symbols.status().message()),
              StartsWith("--symbols " + path_ + ": truncated ELF"));
  EXPECT_EQ(file->Load().status(), symbols.status());
}

TEST_F(SymbolFileTest, AFileInItsPlaceChangesNothing) {
  Write(SymbolElf({{"first", 0x1000}}));
  auto file = Open();
  ASSERT_TRUE(file.ok()) << file.status();
  std::remove(path_.c_str());
  Write("something else");
  const auto symbols = file->Load();
  ASSERT_TRUE(symbols.ok()) << symbols.status();
  EXPECT_EQ((*symbols)->AddressOf("first"), 0x1000u);
  EXPECT_EQ(*file->Load(), *symbols);
}

// Its tables are sorted once, however many reports there are.
TEST_F(SymbolFileTest, WhatReadsStacksIsKept) {
  Write(SymbolElf({{"first", 0x1000}}));
  auto file = Open();
  ASSERT_TRUE(file.ok()) << file.status();
  const arch::Backtracer& first = file->Backtracer();
  EXPECT_EQ(&file->Backtracer(), &first);
  EXPECT_TRUE(file->Load().ok());
}

TEST_F(SymbolFileTest, AFileThatShrankIsAnError) {
  Write(SymbolElf({{"first", 0x1000}}));
  auto file = Open();
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(::truncate(path_.c_str(), 80), 0);
  EXPECT_FALSE(file->Load().ok());
}

}  // namespace
}  // namespace kvmlet
