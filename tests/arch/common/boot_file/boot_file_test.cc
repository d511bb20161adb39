// SPDX-License-Identifier: Apache-2.0
#include "arch/common/boot_file.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kPage = 4096;

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class BootFileTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) {
    return ::testing::TempDir() + "kvmlet_boot_file_" +
           std::to_string(::getpid()) + "_" + name;
  }
  std::string Make(const std::string& name, const std::string& content) {
    paths_.push_back(Path(name));
    std::ofstream(paths_.back(), std::ios::binary) << content;
    return paths_.back();
  }
  void TearDown() override {
    for (const std::string& path : paths_) ::unlink(path.c_str());
  }
  // Two regions that touch, so that a copy may have to be split.
  GuestMemory Ram() {
    const RamRange ranges[] = {{Gpa{0}, kPage}, {Gpa{kPage}, kPage}};
    return *GuestMemory::Create(ranges, {});
  }
  std::string ReadBack(const GuestMemory& memory, uint64_t at, size_t size) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) {
      text[i] = memory.Load<char>(Gpa{at + i}).value_or('?');
    }
    return text;
  }
  std::vector<std::string> paths_;
};

TEST_F(BootFileTest, MissingFileIsNotFoundAndExits66) {
  const auto file = BootFile::Open("--kernel", Path("missing"));

  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ExitStatusFor(file.status()), 66);
  EXPECT_THAT(Message(file.status()), StartsWith("--kernel /"));
  EXPECT_THAT(Message(file.status()), HasSubstr("ENOENT"));
}

TEST_F(BootFileTest, UnreadableFileIsPermissionDenied) {
  const std::string path = Make("secret", "x");
  ::chmod(path.c_str(), 0);
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";

  const auto file = BootFile::Open("--initrd", path);

  EXPECT_EQ(file.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ExitStatusFor(file.status()), 66);
}

TEST_F(BootFileTest, EmptyFileIsRefused) {
  const auto file = BootFile::Open("--kernel", Make("empty", ""));

  EXPECT_EQ(ExitStatusFor(file.status()), 65);
  EXPECT_THAT(Message(file.status()), HasSubstr("empty"));
}

TEST_F(BootFileTest, FolderIsRefused) {
  const auto file = BootFile::Open("--kernel", ::testing::TempDir());

  EXPECT_EQ(ExitStatusFor(file.status()), 65);
  EXPECT_THAT(Message(file.status()), HasSubstr("not a regular file"));
}

TEST_F(BootFileTest, PipeWithoutAWriterDoesNotHang) {
  paths_.push_back(Path("fifo"));
  ASSERT_EQ(::mkfifo(paths_.back().c_str(), 0600), 0);

  const auto file = BootFile::Open("--kernel", paths_.back());

  EXPECT_THAT(Message(file.status()), HasSubstr("not a regular file"));
}

TEST_F(BootFileTest, CopiesFromTheFileAcrossRegions) {
  const auto file = BootFile::Open("--kernel", Make("ok", "..0123456789.."));
  ASSERT_TRUE(file.ok()) << file.status();
  const GuestMemory memory = Ram();

  const auto status = file->CopyTo(memory, Gpa{kPage - 3}, 2, 10);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(ReadBack(memory, kPage - 4, 12),
            std::string("\0", 1) + "0123456789" + std::string("\0", 1));
}

TEST_F(BootFileTest, CopiesFromMemoryAcrossRegions) {
  const BootFile file =
      BootFile::FromBytes("--kernel", "x", BytesOf("..0123456789.."));
  const GuestMemory memory = Ram();

  const auto status = file.CopyTo(memory, Gpa{kPage - 3}, 2, 10);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(ReadBack(memory, kPage - 3, 10), "0123456789");
}

TEST_F(BootFileTest, CopyBeyondTheFileIsRefused) {
  const BootFile file = BootFile::FromBytes("--kernel", "x", BytesOf("1234"));
  const GuestMemory memory = Ram();

  EXPECT_FALSE(file.CopyTo(memory, Gpa{0}, 1, 4).ok());
  EXPECT_FALSE(file.CopyTo(memory, Gpa{0}, UINT64_MAX, 2).ok());
  EXPECT_FALSE(file.CopyTo(memory, Gpa{0}, 5, 0).ok());
}

TEST_F(BootFileTest, CopyBeyondRamIsRefused) {
  const BootFile file = BootFile::FromBytes("--kernel", "x", BytesOf("1234"));
  const GuestMemory memory = Ram();

  EXPECT_FALSE(file.CopyTo(memory, Gpa{2 * kPage - 3}, 0, 4).ok());
  EXPECT_FALSE(file.CopyTo(memory, Gpa{UINT64_MAX - 1}, 0, 4).ok());
  EXPECT_EQ(ReadBack(memory, 2 * kPage - 3, 3), std::string(3, '\0'));
}

TEST_F(BootFileTest, FileThatShrinksWhileItIsReadIsAnError) {
  const std::string path = Make("shrinks", std::string(100, 'x'));
  const auto file = BootFile::Open("--kernel", path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(::truncate(path.c_str(), 50), 0);
  const GuestMemory memory = Ram();

  const auto status = file->CopyTo(memory, Gpa{0}, 0, 100);

  EXPECT_THAT(Message(status), HasSubstr("shrank"));
}

TEST_F(BootFileTest, LoadChecksItsBounds) {
  const BootFile file = BootFile::FromBytes("--kernel", "x", BytesOf("1234"));

  EXPECT_TRUE(file.Load<uint32_t>(0).has_value());
  EXPECT_FALSE(file.Load<uint32_t>(1).has_value());
  EXPECT_FALSE(file.Load<uint64_t>(0).has_value());
  EXPECT_FALSE(file.Load<uint8_t>(UINT64_MAX).has_value());
}

std::string Gzip(std::string plain) {
  std::string out(plain.size() + 1024, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST_F(BootFileTest, UnpackReplacesTheContent) {
  auto file = BootFile::Open("--kernel", Make("gz", Gzip("kernel")));
  ASSERT_TRUE(file.ok()) << file.status();
  const GuestMemory memory = Ram();

  ASSERT_TRUE(file->Unpack(1 << 20).ok());

  EXPECT_EQ(file->size(), 6u);
  EXPECT_TRUE(file->CopyTo(memory, Gpa{0}, 0, 6).ok());
  EXPECT_EQ(ReadBack(memory, 0, 6), "kernel");
}

TEST_F(BootFileTest, UnpackLeavesPlainFilesAlone) {
  BootFile file = BootFile::FromBytes("--kernel", "x", BytesOf("kernel"));

  ASSERT_TRUE(file.Unpack(1).ok());

  EXPECT_EQ(file.size(), 6u);
}

TEST_F(BootFileTest, FilePackedTwiceIsRefused) {
  const std::string twice = Gzip(Gzip("kernel"));
  BootFile file = BootFile::FromBytes("--kernel", "x", BytesOf(twice));

  EXPECT_THAT(Message(file.Unpack(1 << 20)), HasSubstr("compressed twice"));
}

TEST_F(BootFileTest, UnpackErrorsNameTheFileAndTheFormat) {
  std::string cut = Gzip("kernel");
  cut.resize(cut.size() - 6);
  BootFile file = BootFile::FromBytes("--kernel", "vmlinuz", BytesOf(cut));

  const absl::Status status = file.Unpack(1 << 20);

  EXPECT_EQ(ExitStatusFor(status), 65);
  EXPECT_THAT(Message(status), StartsWith("--kernel vmlinuz: gzip: "));
}

TEST_F(BootFileTest, FormatItDoesNotUnpackHasARemedy) {
  BootFile file = BootFile::FromBytes("--kernel", "x", BytesOf("BZh9"));

  EXPECT_THAT(Message(file.Unpack(1 << 20)), HasSubstr("bzip2 -d"));
}

}  // namespace
}  // namespace kvmlet::arch
