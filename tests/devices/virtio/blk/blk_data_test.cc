// SPDX-License-Identifier: Apache-2.0
// Real data through the block device, with both engines.
#include <fcntl.h>

#include <cstring>
#include <string>

#include "tests/devices/virtio/blk/blk_fixture.h"

namespace kvmlet::virtio {
namespace {

enum class Engine { kSynchronous, kUring };

class BlkDataTest : public BlkFixture,
                    public testing::WithParamInterface<Engine> {
 protected:
  void SetUp() override {
    BlkFixture::SetUp();
    options_.synchronous = GetParam() == Engine::kSynchronous;
    if (options_.synchronous) return;
    auto file = BlockFile::Create(UniqueFd(::dup(image_.get())), options_);
    ASSERT_TRUE(file.ok());
    if ((*(*file)->NewQueue(8))->done_fd() < 0) {
      GTEST_SKIP() << "this host refuses io_uring";
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Engines, BlkDataTest,
                         testing::Values(Engine::kSynchronous, Engine::kUring),
                         [](const auto& info) {
                           return info.param == Engine::kUring ? "Uring"
                                                               : "Synchronous";
                         });

std::string Pattern(size_t length) {
  std::string text(length, '\0');
  for (size_t i = 0; i < length; ++i) {
    text[i] = static_cast<char>('a' + i * 7 % 26);
  }
  return text;
}

TEST_P(BlkDataTest, WriteReachesTheFile) {
  Activate();
  const std::string data = Pattern(4096);
  EXPECT_EQ(StatusOf(Request(kBlkOut, 8, data)), kBlkOk);
  EXPECT_EQ(ImageBytes(8, 4096), data);
  EXPECT_EQ(driver_.PopUsed()->len, 1u);
}

TEST_P(BlkDataTest, ReadReturnsTheFile) {
  FillImage('x');
  Activate();
  const auto request = Read(3, 1024);
  EXPECT_EQ(StatusOf(request), kBlkOk);
  EXPECT_EQ(request.WrittenText(1024), std::string(1024, 'x'));
  EXPECT_EQ(driver_.PopUsed()->len, 1025u);
}

TEST_P(BlkDataTest, WriteAndReadBackOverManyBuffers) {
  Activate();
  const std::string data = Pattern(1536);
  driver_.Readable(BlkHeader{kBlkOut, 0, 5});
  for (size_t at = 0; at < data.size(); at += 96) {
    driver_.ReadableText(std::string_view(data).substr(at, 96));
  }
  const auto write = driver_.Writable(1).Indirect().Submit();
  EXPECT_EQ(StatusOf(write), kBlkOk);
  driver_.Readable(BlkHeader{kBlkIn, 0, 5});
  for (size_t at = 0; at < data.size(); at += 128) driver_.Writable(128);
  const auto read = driver_.Writable(1).Indirect().Submit();
  EXPECT_EQ(StatusOf(read), kBlkOk);
  EXPECT_EQ(read.WrittenText(data.size()), data);
}

TEST_P(BlkDataTest, HeaderAndStatusMayShareBuffersWithTheData) {
  Activate();
  std::string bytes(sizeof(BlkHeader), '\0');
  const BlkHeader header{kBlkOut, 0, 2};
  std::memcpy(bytes.data(), &header, sizeof(header));
  bytes += Pattern(512);
  const auto write = driver_.ReadableText(bytes).Writable(1).Submit();
  EXPECT_EQ(StatusOf(write), kBlkOk);
  const auto read =
      driver_.Readable(BlkHeader{kBlkIn, 0, 2}).Writable(513).Submit();
  EXPECT_EQ(StatusOf(read), kBlkOk);
  EXPECT_EQ(read.WrittenText(512), Pattern(512));
}

TEST_P(BlkDataTest, BatchComesBackWithOneNotification) {
  Activate();
  for (uint64_t i = 0; i < 5; ++i) Read(i, 512);
  EXPECT_TRUE(Serve(5));
  EXPECT_LE(events_.notifications, GetParam() == Engine::kUring ? 5 : 1);
  EXPECT_GE(events_.notifications, 1);
}

TEST_P(BlkDataTest, ManyRoundsThroughTheRing) {
  Activate();
  for (uint64_t i = 0; i < 200; ++i) {
    const uint64_t sector = i % kDiskSectors;
    const std::string data = Pattern(512 + i % 3).substr(i % 3);
    ASSERT_EQ(StatusOf(Request(kBlkOut, sector, data)), kBlkOk);
    const auto read = Read(sector, 512);
    ASSERT_EQ(StatusOf(read), kBlkOk);
    ASSERT_EQ(read.WrittenText(512), data);
  }
}

TEST_P(BlkDataTest, FlushSucceeds) {
  Activate();
  EXPECT_EQ(StatusOf(Request(kBlkFlush, 0, "")), kBlkOk);
}

TEST_P(BlkDataTest, WriteThroughWriteSucceeds) {
  Activate(kFeatureVersion1);
  EXPECT_EQ(StatusOf(Request(kBlkOut, 0, Pattern(512))), kBlkOk);
  EXPECT_EQ(ImageBytes(0, 512), Pattern(512));
}

TEST_P(BlkDataTest, GetIdReturnsTheSerial) {
  Activate();
  const auto request = driver_.Readable(BlkHeader{kBlkGetId, 0, 0})
                           .Writable(20)
                           .Writable(1)
                           .Submit();
  EXPECT_EQ(StatusOf(request), kBlkOk);
  EXPECT_EQ(request.WrittenText(9), "SERIAL-42");
  EXPECT_EQ(request.WritableBytes(0)[9], std::byte{0});
  EXPECT_EQ(driver_.PopUsed()->len, 21u);
}

TEST_P(BlkDataTest, DiscardZeroesTheRanges) {
  FillImage('x');
  Activate();
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {{8, 8, 0}, {32, 8, 0}})), kBlkOk);
  EXPECT_EQ(ImageBytes(7, 512), std::string(512, 'x'));
  EXPECT_EQ(ImageBytes(8, 4096), std::string(4096, '\0'));
  EXPECT_EQ(ImageBytes(16, 512), std::string(512, 'x'));
  EXPECT_EQ(ImageBytes(32, 4096), std::string(4096, '\0'));
}

TEST_P(BlkDataTest, WriteZeroesKeepsTheRest) {
  FillImage('x');
  Activate();
  EXPECT_EQ(StatusOf(Ranges(kBlkWriteZeroes, {{9, 3, 0}})), kBlkOk);
  EXPECT_EQ(ImageBytes(8, 512), std::string(512, 'x'));
  EXPECT_EQ(ImageBytes(9, 1536), std::string(1536, '\0'));
  EXPECT_EQ(ImageBytes(12, 512), std::string(512, 'x'));
}

TEST_P(BlkDataTest, WriteZeroesMayUnmap) {
  FillImage('x');
  Activate();
  EXPECT_EQ(StatusOf(Ranges(kBlkWriteZeroes, {{16, 16, kBlkRangeUnmap}})),
            kBlkOk);
  EXPECT_EQ(ImageBytes(16, 8192), std::string(8192, '\0'));
}

TEST_P(BlkDataTest, HostErrorBecomesIoError) {
  // The device takes the file for writable; the host does not let it write.
  const std::string path = "/proc/self/fd/" + std::to_string(image_.get());
  image_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(image_.ok());
  Activate();
  EXPECT_EQ(StatusOf(Request(kBlkOut, 0, Pattern(512))), kBlkIoError);
  EXPECT_EQ(StatusOf(Read(0, 512)), kBlkOk);
}

TEST_P(BlkDataTest, FileThatShrankGivesIoError) {
  Activate();
  ASSERT_EQ(::ftruncate(image_.get(), 512), 0);
  EXPECT_EQ(StatusOf(Read(1, 512)), kBlkIoError);
  EXPECT_EQ(StatusOf(Read(0, 1024)), kBlkIoError);
}

}  // namespace
}  // namespace kvmlet::virtio
