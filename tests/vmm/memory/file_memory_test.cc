// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/file_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "vmm/base/exit_status.h"
#include "vmm/base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

constexpr uint64_t k2MiB = 2ull << 20;
constexpr Gpa kBase{64 << 20};

class FileMemoryTest : public testing::Test {
 protected:
  FileMemoryTest() {
    std::string name = testing::TempDir() + "/pmemXXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~FileMemoryTest() override { std::filesystem::remove_all(folder_); }

  // A file of this many bytes, all of them holes.
  FileMemoryOptions Make(uint64_t size) {
    const std::string path = folder_ + "/image";
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    return {.flag = "--pmem", .path = path};
  }
  static uint64_t ReadFile(const FileMemoryOptions& options, off_t at) {
    const UniqueFd fd(::open(options.path.c_str(), O_RDONLY | O_CLOEXEC));
    uint64_t value = 0;
    EXPECT_EQ(::pread(fd.get(), &value, sizeof(value), at), 8);
    return value;
  }
  static GuestMemory Ram() {
    const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, 1 << 20}};
    return *GuestMemory::Create(ranges, {});
  }

  std::string folder_;
};

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

TEST_F(FileMemoryTest, WhatTheGuestWritesIsInTheFile) {
  const FileMemoryOptions options = Make(2 * k2MiB);
  EXPECT_EQ(*FileMemory::SizeOf(options), 2 * k2MiB);
  GuestMemory memory = Ram();
  auto file = FileMemory::Map(options, kBase, 2 * k2MiB);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*file)->region().host) % k2MiB, 0u);
  memory.AddFile(*std::move(file));
  ASSERT_TRUE(memory.Store(kBase + k2MiB, uint64_t{42}));
  EXPECT_EQ(ReadFile(options, k2MiB), 42u);
  EXPECT_EQ(memory.Load<uint64_t>(kBase + k2MiB), 42u);
  EXPECT_FALSE(memory.Contains(kBase + 2 * k2MiB, 1));
  EXPECT_FALSE(memory.Contains(kBase + (2 * k2MiB - 4), 8));
}

TEST_F(FileMemoryTest, HolesAreFilledAtTheStart) {
  const FileMemoryOptions options = Make(k2MiB);
  const auto file = FileMemory::Map(options, kBase, k2MiB);
  ASSERT_TRUE(file.ok());
  struct stat st {};
  ASSERT_EQ(::stat(options.path.c_str(), &st), 0);
  EXPECT_GE(static_cast<uint64_t>(st.st_blocks) * 512, k2MiB);
}

TEST_F(FileMemoryTest, AReadOnlyFileStaysAsItIs) {
  FileMemoryOptions options = Make(k2MiB);
  options.read_only = true;
  ASSERT_EQ(::chmod(options.path.c_str(), 0400), 0);
  GuestMemory memory = Ram();
  auto file = FileMemory::Map(options, kBase, k2MiB);
  ASSERT_TRUE(file.ok()) << file.status();
  memory.AddFile(*std::move(file));
  ASSERT_TRUE(memory.Store(kBase, uint64_t{7}));
  EXPECT_EQ(memory.Load<uint64_t>(kBase), 7u);
  EXPECT_EQ(ReadFile(options, 0), 0u);
}

// Neither a reset nor a balloon that is told of its pages takes them away.
TEST_F(FileMemoryTest, DiscardingLeavesTheFileAlone) {
  const FileMemoryOptions options = Make(k2MiB);
  GuestMemory memory = Ram();
  memory.AddFile(*FileMemory::Map(options, kBase, k2MiB));
  ASSERT_TRUE(memory.Store(kBase, uint64_t{42}));
  std::vector<iovec> ranges;
  ASSERT_TRUE(memory.Iovecs(kBase, k2MiB, ranges));
  EXPECT_EQ(*memory.Discard(ranges.at(0)), 0u);
  ASSERT_TRUE(memory.Discard().ok());
  EXPECT_EQ(memory.Load<uint64_t>(kBase), 42u);
  EXPECT_EQ(memory.size(), 1u << 20);
}

TEST_F(FileMemoryTest, SizesThatTheGuestCannotUseAreRefused) {
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{1}, k2MiB - 1, k2MiB + 512, 3 * k2MiB / 2}) {
    const absl::Status status = FileMemory::SizeOf(Make(size)).status();
    EXPECT_EQ(ExitStatusFor(status), 65) << size;
    EXPECT_THAT(Text(status), HasSubstr("multiple of 2 MiB"));
  }
  EXPECT_THAT(Text(FileMemory::SizeOf(Make(k2MiB + 1)).status()),
              HasSubstr("truncate -s 4M"));
}

TEST_F(FileMemoryTest, WhatIsNoFileIsRefused) {
  const auto error = [](const std::string& path) {
    return FileMemory::SizeOf({.flag = "--pmem", .path = path}).status();
  };
  EXPECT_EQ(ExitStatusFor(error(folder_ + "/none")), 66);
  EXPECT_EQ(ExitStatusFor(error(folder_)), 66);
  EXPECT_EQ(ExitStatusFor(error("/dev/null")), 66);
  EXPECT_THAT(Text(error(folder_)), HasSubstr("a regular file or a block"));
}

TEST_F(FileMemoryTest, AFileThatChangedMeanwhileIsRefused) {
  const FileMemoryOptions options = Make(k2MiB);
  EXPECT_EQ(ExitStatusFor(FileMemory::Map(options, kBase, 2 * k2MiB).status()),
            65);
}

TEST_F(FileMemoryTest, DaxNeedsAFileSystemThatHasIt) {
  FileMemoryOptions options = Make(k2MiB);
  options.dax = true;
  const auto file = FileMemory::Map(options, kBase, k2MiB);
  if (file.ok()) GTEST_SKIP() << "the temporary folder is on a DAX file system";
  EXPECT_EQ(ExitStatusFor(file.status()), 69);
  EXPECT_THAT(Text(file.status()), HasSubstr("leave dax out"));
}

TEST_F(FileMemoryTest, LargeFilesAreAlignedToWholeGiB) {
  EXPECT_EQ(FileMemory::AlignmentFor(k2MiB), k2MiB);
  EXPECT_EQ(FileMemory::AlignmentFor(1ull << 30), 1ull << 30);
}

}  // namespace
}  // namespace kvmlet
