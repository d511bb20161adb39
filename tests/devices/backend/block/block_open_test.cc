// SPDX-License-Identifier: Apache-2.0
// Every way in which a --disk can be wrong, and what the error says.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "devices/backend/block_backend.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

class OpenDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/kvmlet-disk-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    options_.path = folder_ + "/x.img";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void MakeImage(uint64_t size) {
    std::ofstream(options_.path).flush();
    std::filesystem::resize_file(options_.path, size);
  }
  std::string ErrorOf(const DiskOptions& options) {
    const auto disk = OpenDisk(options);
    EXPECT_FALSE(disk.ok());
    return std::string(disk.status().message());
  }

  std::string folder_;
  DiskOptions options_;
};

TEST_F(OpenDiskTest, ImageOfAMegabyte) {
  MakeImage(1 << 20);
  const auto disk = OpenDisk(options_);
  ASSERT_TRUE(disk.ok()) << disk.status();
  EXPECT_EQ((*disk)->geometry().size, 1u << 20);
  EXPECT_EQ((*disk)->geometry().logical_block, 512u);
  EXPECT_FALSE((*disk)->read_only());
}

TEST_F(OpenDiskTest, MissingFile) {
  const auto disk = OpenDisk(options_);
  EXPECT_EQ(ExitStatusFor(disk.status()),
            static_cast<int>(ExitStatus::kCannotOpen));
  EXPECT_THAT(disk.status().message(),
              HasSubstr("x.img: No such file or directory (ENOENT)"));
}

TEST_F(OpenDiskTest, Directory) {
  options_.path = folder_;
  EXPECT_THAT(ErrorOf(options_), HasSubstr("is a directory; give a raw image"));
}

TEST_F(OpenDiskTest, FifoIsRefusedWithoutWaiting) {
  ASSERT_EQ(::mkfifo(options_.path.c_str(), 0600), 0);
  options_.read_only = true;
  EXPECT_THAT(ErrorOf(options_), HasSubstr("is no disk"));
}

TEST_F(OpenDiskTest, CharacterDevice) {
  options_.path = "/dev/null";
  EXPECT_THAT(ErrorOf(options_), HasSubstr("is no disk"));
}

TEST_F(OpenDiskTest, EmptyFile) {
  MakeImage(0);
  EXPECT_THAT(ErrorOf(options_), HasSubstr("is empty; give it a size"));
}

TEST_F(OpenDiskTest, SizeThatIsNoMultipleOf512) {
  MakeImage(1000);
  EXPECT_THAT(ErrorOf(options_),
              HasSubstr("its 1000 bytes are not a multiple of 512"));
}

TEST_F(OpenDiskTest, NoPermissionToWrite) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write every file";
  MakeImage(4096);
  ASSERT_EQ(::chmod(options_.path.c_str(), 0400), 0);
  EXPECT_THAT(ErrorOf(options_), HasSubstr("add ro to only read it"));
  options_.read_only = true;
  EXPECT_TRUE(OpenDisk(options_).ok());
}

TEST_F(OpenDiskTest, SecondWriterIsLockedOut) {
  MakeImage(4096);
  const auto first = OpenDisk(options_);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(ErrorOf(options_),
              HasSubstr("in use by another process (add ro to share it)"));
}

TEST_F(OpenDiskTest, ReaderIsLockedOutByAWriter) {
  MakeImage(4096);
  const auto writer = OpenDisk(options_);
  ASSERT_TRUE(writer.ok());
  options_.read_only = true;
  EXPECT_THAT(ErrorOf(options_), HasSubstr("another process that writes it"));
}

TEST_F(OpenDiskTest, ReadersShare) {
  MakeImage(4096);
  options_.read_only = true;
  const auto first = OpenDisk(options_);
  const auto second = OpenDisk(options_);
  EXPECT_TRUE(first.ok());
  EXPECT_TRUE(second.ok()) << second.status();
}

TEST_F(OpenDiskTest, LockGoesWithTheDisk) {
  MakeImage(4096);
  { const auto first = OpenDisk(options_); }
  EXPECT_TRUE(OpenDisk(options_).ok());
}

TEST_F(OpenDiskTest, LockGoesWithTheDiskThatWasUsed) {
  MakeImage(4096);
  std::vector<std::byte> data(512);
  {
    const auto disk = OpenDisk(options_);
    ASSERT_TRUE(disk.ok());
    const auto queue = (*disk)->NewQueue(8);
    ASSERT_TRUE(queue.ok());
    BlockRequest request;
    request.iovecs = {{data.data(), data.size()}};
    request.length = data.size();
    (*queue)->Start(request);
    ASSERT_TRUE((*queue)->Commit().ok());
  }
  const auto again = OpenDisk(options_);
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_F(OpenDiskTest, SizeIsReadAgain) {
  MakeImage(4096);
  const auto disk = OpenDisk(options_);
  ASSERT_TRUE(disk.ok());
  std::filesystem::resize_file(options_.path, 8192);
  EXPECT_EQ(*(*disk)->ReadSize(), 8192u);
  std::filesystem::resize_file(options_.path, 0);
  EXPECT_FALSE((*disk)->ReadSize().ok());
}

}  // namespace
}  // namespace kvmlet
