// SPDX-License-Identifier: Apache-2.0
// The state machine below both engines, fed with results by hand.
#include "devices/backend/block_steps.h"

#include <gtest/gtest.h>
#include <linux/falloc.h>

#include <cerrno>
#include <numeric>
#include <vector>

namespace kvmlet {
namespace {

using Kind = BlockStep::Kind;

class BlockStepsTest : public testing::Test {
 protected:
  // A transfer at 8192 with buffers of the given lengths.
  void Begin(BlockOp op, const std::vector<size_t>& lengths) {
    request_.op = op;
    request_.offset = 8192;
    request_.iovecs.clear();
    std::byte* at = memory_.data();
    for (const size_t length : lengths) {
      request_.iovecs.push_back({at, length});
      at += length;
    }
    request_.length =
        std::accumulate(lengths.begin(), lengths.end(), uint64_t{0});
    steps_.Begin(request_);
  }
  void BeginRange(BlockOp op) {
    request_.op = op;
    request_.offset = 4096;
    request_.length = 100 << 10;
    steps_.Begin(request_);
  }
  bool Done() const { return BlockSteps::Done(request_); }

  std::vector<std::byte> memory_ = std::vector<std::byte>(1 << 20);
  BlockSteps steps_{BlockFileTraits{}};
  BlockSteps device_steps_{BlockFileTraits{.block_device = true}};
  BlockRequest request_;
};

TEST_F(BlockStepsTest, WholeReadIsOneStep) {
  Begin(BlockOp::kRead, {512, 1024});
  const BlockStep step = steps_.Next(request_);
  EXPECT_EQ(step.kind, Kind::kRead);
  EXPECT_EQ(step.offset, 8192u);
  EXPECT_EQ(step.length, 1536u);
  EXPECT_EQ(step.iovec_count, 2u);
  steps_.Advance(request_, 1536);
  EXPECT_TRUE(Done());
  EXPECT_EQ(request_.error, 0);
}

TEST_F(BlockStepsTest, ShortReadGoesOnWhereItStopped) {
  Begin(BlockOp::kRead, {512, 1024});
  steps_.Next(request_);
  steps_.Advance(request_, 700);
  EXPECT_FALSE(Done());
  const BlockStep step = steps_.Next(request_);
  EXPECT_EQ(step.offset, 8192u + 700);
  EXPECT_EQ(step.length, 836u);
  EXPECT_EQ(step.iovec_count, 1u);
  EXPECT_EQ(step.iovecs->iov_base, memory_.data() + 700);
}

TEST_F(BlockStepsTest, InterruptedStepIsRepeated) {
  Begin(BlockOp::kWrite, {512});
  for (const int error : {EINTR, EAGAIN}) {
    steps_.Advance(request_, -error);
    EXPECT_FALSE(Done());
    EXPECT_EQ(steps_.Next(request_).length, 512u);
  }
}

TEST_F(BlockStepsTest, EndlessInterruptionsEnd) {
  Begin(BlockOp::kWrite, {512});
  for (int i = 0; i < 2000 && !Done(); ++i) steps_.Advance(request_, -EAGAIN);
  EXPECT_TRUE(Done());
  EXPECT_EQ(request_.error, EIO);
}

TEST_F(BlockStepsTest, EndOfFileIsAnError) {
  Begin(BlockOp::kRead, {512});
  steps_.Advance(request_, 0);
  EXPECT_TRUE(Done());
  EXPECT_EQ(request_.error, EIO);
}

TEST_F(BlockStepsTest, HostErrorEndsTheRequest) {
  Begin(BlockOp::kWrite, {512, 512});
  steps_.Advance(request_, 512);
  steps_.Advance(request_, -ENOSPC);
  EXPECT_TRUE(Done());
  EXPECT_EQ(request_.error, ENOSPC);
}

TEST_F(BlockStepsTest, ResultBeyondTheRequestIsCut) {
  Begin(BlockOp::kRead, {512});
  steps_.Advance(request_, 1 << 20);
  EXPECT_TRUE(Done());
  EXPECT_EQ(request_.error, 0);
}

TEST_F(BlockStepsTest, HugeBufferIsCutIntoSteps) {
  request_.op = BlockOp::kRead;
  request_.length = 3 * kMaxStepBytes + 512;
  request_.iovecs = {{memory_.data(), request_.length}};
  steps_.Begin(request_);
  int count = 0;
  while (!Done()) {
    const BlockStep step = steps_.Next(request_);
    EXPECT_LE(step.length, kMaxStepBytes);
    steps_.Advance(request_, static_cast<int64_t>(step.length));
    ++count;
  }
  EXPECT_EQ(count, 4);
}

TEST_F(BlockStepsTest, ManyBuffersAreCutAtTheKernelsLimit) {
  Begin(BlockOp::kRead, std::vector<size_t>(1500, 512));
  EXPECT_EQ(steps_.Next(request_).iovec_count, 1024u);
  steps_.Advance(request_, 1024 * 512);
  EXPECT_EQ(steps_.Next(request_).iovec_count, 476u);
}

TEST_F(BlockStepsTest, EmptyTransferIsDoneAtOnce) {
  Begin(BlockOp::kRead, {});
  EXPECT_TRUE(Done());
}

TEST_F(BlockStepsTest, DurableWriteEndsWithASync) {
  request_.durable = true;
  Begin(BlockOp::kWrite, {512});
  steps_.Advance(request_, 512);
  EXPECT_FALSE(Done());
  EXPECT_EQ(steps_.Next(request_).kind, Kind::kSync);
  steps_.Advance(request_, 0);
  EXPECT_TRUE(Done());
}

TEST_F(BlockStepsTest, FailedSyncFailsTheWrite) {
  request_.durable = true;
  Begin(BlockOp::kWrite, {512});
  steps_.Advance(request_, 512);
  steps_.Advance(request_, -EIO);
  EXPECT_EQ(request_.error, EIO);
}

TEST_F(BlockStepsTest, FlushIsASync) {
  request_.op = BlockOp::kFlush;
  steps_.Begin(request_);
  EXPECT_EQ(steps_.Next(request_).kind, Kind::kSync);
}

TEST_F(BlockStepsTest, DiscardPunchesAHole) {
  BeginRange(BlockOp::kDiscard);
  const BlockStep step = steps_.Next(request_);
  EXPECT_EQ(step.kind, Kind::kAllocate);
  EXPECT_EQ(step.mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
  EXPECT_EQ(step.length, request_.length);
}

TEST_F(BlockStepsTest, WriteZeroesKeepsTheSpaceUnlessToldOtherwise) {
  BeginRange(BlockOp::kWriteZeroes);
  EXPECT_EQ(steps_.Next(request_).mode,
            FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
  request_.may_unmap = true;
  BeginRange(BlockOp::kWriteZeroes);
  EXPECT_EQ(steps_.Next(request_).mode,
            FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

TEST_F(BlockStepsTest, ZeroesAreWrittenWhereTheFileSystemCannot) {
  BeginRange(BlockOp::kWriteZeroes);
  steps_.Advance(request_, -EOPNOTSUPP);
  ASSERT_TRUE(steps_.NeedsBuffer(request_));
  steps_.GiveBuffer(request_);
  uint64_t written = 0;
  while (!Done()) {
    const BlockStep step = steps_.Next(request_);
    EXPECT_EQ(step.kind, Kind::kWrite);
    EXPECT_EQ(step.offset, 4096 + written);
    EXPECT_EQ(*static_cast<std::byte*>(step.iovecs->iov_base), std::byte{0});
    written += step.length;
    steps_.Advance(request_, static_cast<int64_t>(step.length));
  }
  EXPECT_EQ(written, request_.length);
  EXPECT_EQ(request_.progress.buffer, nullptr);
}

TEST_F(BlockStepsTest, DiscardThatTheFileCannotDoIsDone) {
  BeginRange(BlockOp::kDiscard);
  steps_.Advance(request_, -EOPNOTSUPP);
  EXPECT_TRUE(Done());
  EXPECT_EQ(request_.error, 0);
}

TEST_F(BlockStepsTest, BlockDeviceGetsADiscardOfItsOwn) {
  request_.op = BlockOp::kDiscard;
  request_.length = 4096;
  device_steps_.Begin(request_);
  device_steps_.Advance(request_, -EOPNOTSUPP);
  EXPECT_EQ(device_steps_.Next(request_).kind, Kind::kBlockDiscard);
  device_steps_.Advance(request_, -EOPNOTSUPP);
  EXPECT_TRUE(Done());
  EXPECT_EQ(request_.error, 0);
}

TEST_F(BlockStepsTest, DiscardErrorIsReported) {
  BeginRange(BlockOp::kDiscard);
  steps_.Advance(request_, -EIO);
  EXPECT_EQ(request_.error, EIO);
}

class DirectStepsTest : public BlockStepsTest {
 protected:
  // Buffers that start `skew` bytes behind an aligned address.
  void BeginAt(BlockOp op, size_t skew, const std::vector<size_t>& lengths) {
    void* start = memory_.data();
    size_t space = memory_.size();
    base_ = static_cast<std::byte*>(std::align(4096, 1, start, space)) + skew;
    steps_ = BlockSteps(
        BlockFileTraits{.memory_alignment = 512, .offset_alignment = 512});
    request_.op = op;
    request_.iovecs.clear();
    request_.length = 0;
    for (const size_t length : lengths) {
      request_.iovecs.push_back({base_ + request_.length, length});
      request_.length += length;
    }
    steps_.Begin(request_);
  }
  std::byte* base_ = nullptr;
};

TEST_F(DirectStepsTest, AlignedBuffersAreUsedAsTheyAre) {
  BeginAt(BlockOp::kRead, 0, {512, 4096});
  EXPECT_FALSE(steps_.NeedsBuffer(request_));
  EXPECT_EQ(steps_.Next(request_).iovecs->iov_base, base_);
}

TEST_F(DirectStepsTest, UnalignedAddressNeedsABuffer) {
  BeginAt(BlockOp::kRead, 8, {512});
  EXPECT_TRUE(steps_.NeedsBuffer(request_));
}

TEST_F(DirectStepsTest, UnalignedLengthNeedsABuffer) {
  BeginAt(BlockOp::kRead, 0, {100, 412});
  EXPECT_TRUE(steps_.NeedsBuffer(request_));
}

TEST_F(DirectStepsTest, ReadIsScatteredFromTheBuffer) {
  BeginAt(BlockOp::kRead, 8, {100, 412, 512});
  steps_.GiveBuffer(request_);
  const BlockStep step = steps_.Next(request_);
  ASSERT_EQ(step.length, 1024u);
  auto* buffer = static_cast<std::byte*>(step.iovecs->iov_base);
  std::fill_n(buffer, 1024, std::byte{7});
  steps_.Advance(request_, 512);
  EXPECT_EQ(base_[511], std::byte{7});
  EXPECT_EQ(base_[512], std::byte{0});
  steps_.Next(request_);
  steps_.Advance(request_, 512);
  EXPECT_EQ(base_[1023], std::byte{7});
  EXPECT_EQ(base_[1024], std::byte{0});
  EXPECT_TRUE(Done());
}

TEST_F(DirectStepsTest, WriteIsGatheredPieceByPiece) {
  const size_t length = kStepBufferBytes + 512;
  BeginAt(BlockOp::kWrite, 1, {length});
  for (size_t i = 0; i < length; ++i) base_[i] = std::byte(i / 512);
  steps_.GiveBuffer(request_);
  const BlockStep first = steps_.Next(request_);
  EXPECT_EQ(first.length, kStepBufferBytes);
  steps_.Advance(request_, kStepBufferBytes);
  const BlockStep second = steps_.Next(request_);
  EXPECT_EQ(second.length, 512u);
  EXPECT_EQ(*static_cast<std::byte*>(second.iovecs->iov_base),
            std::byte(kStepBufferBytes / 512));
}

}  // namespace
}  // namespace kvmlet
