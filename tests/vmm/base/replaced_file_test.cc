// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/replaced_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace kvmlet {
namespace {

using ::testing::HasSubstr;

class ReplacedFileTest : public ::testing::Test {
 protected:
  ReplacedFileTest() {
    std::string path = ::testing::TempDir() + "replaced.XXXXXX";
    folder_ = ::mkdtemp(path.data());
  }
  ~ReplacedFileTest() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name) const {
    return (folder_ / name).string();
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  ptrdiff_t Files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), {});
  }
  static std::span<const std::byte> Bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
  }

  std::filesystem::path folder_;
};

TEST_F(ReplacedFileTest, TheOldContentStaysUntilTheEnd) {
  std::ofstream(File("a")) << "old";
  auto file = ReplacedFile::Create(File("a"), 0600, "a");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->WriteAt(0, Bytes("new")).ok());
  ASSERT_TRUE(file->SetSize(2).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(Read(File("a")), "old");
  ASSERT_TRUE(file->Finish().ok());
  EXPECT_EQ(Read(File("a")), "ne");
  EXPECT_EQ(Files(), 1);
  struct stat st {};
  ASSERT_EQ(::stat(File("a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(ReplacedFileTest, WithoutAnEndNothingIsLeft) {
  std::ofstream(File("a")) << "old";
  {
    auto file = ReplacedFile::Create(File("a"), 0600, "a");
    ASSERT_TRUE(file.ok());
    // Moved: only one of them removes it.
    const ReplacedFile moved = *std::move(file);
    EXPECT_EQ(Files(), 2);
    EXPECT_TRUE(moved.WriteAt(0, Bytes("new")).ok());
  }
  EXPECT_EQ(Read(File("a")), "old");
  EXPECT_EQ(Files(), 1);
}

TEST_F(ReplacedFileTest, WhatIsNoRegularFileIsRefused) {
  const auto file = ReplacedFile::Create(folder_.string(), 0600, "dump x");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(file.status().message(), HasSubstr("dump x: not a regular file"));
}

TEST_F(ReplacedFileTest, ErrorsNameWhatItIsFor) {
  const absl::Status status =
      ReplaceFile(File("none/a"), 0600, "text", "--verdict v");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("--verdict v"));
}

}  // namespace
}  // namespace kvmlet
