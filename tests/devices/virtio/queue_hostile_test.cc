// SPDX-License-Identifier: Apache-2.0
// A driver that breaks each rule of Virtio 1.2, section 2.7: the queue breaks,
// says why, and never hands out what it did not check.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "devices/virtio/queue.h"
#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {
namespace {

using fakes::FakeDriver;
using ::testing::HasSubstr;

class HostileQueueTest : public ::testing::Test {
 protected:
  void ExpectBroken(std::string_view reason) {
    EXPECT_FALSE(queue_.Pop());
    EXPECT_TRUE(queue_.broken());
    EXPECT_THAT(queue_.error(), HasSubstr(std::string(reason)));
    // For ever, also when the driver mends its ways.
    driver_.Writable(1).Submit();
    EXPECT_FALSE(queue_.Pop());
    EXPECT_FALSE(queue_.HasAvailable());
  }
  // One indirect descriptor for a table of `length` bytes.
  void SubmitIndirect(Gpa table, uint32_t length, unsigned flags = 0) {
    driver_.SetDescriptor(0, {table.value, length,
                              static_cast<uint16_t>(kDescIndirect | flags), 1});
    driver_.MakeAvailable(0);
  }

  GuestMemory memory_ = fakes::MakeMemory();
  FakeDriver driver_{memory_, 8};
  VirtQueue queue_ = driver_.CreateQueue();
  const Gpa data_ = driver_.Allocate(64);
};

TEST_F(HostileQueueTest, AvailIndexJumpsBeyondTheQueue) {
  driver_.SetAvailIndex(9);
  ExpectBroken("jumped by 9");
}

TEST_F(HostileQueueTest, AvailIndexGoesBackwards) {
  driver_.Writable(1).Submit();
  ASSERT_TRUE(queue_.Pop());
  driver_.SetAvailIndex(0);
  ExpectBroken("jumped");
}

TEST_F(HostileQueueTest, HeadIsBeyondTheTable) {
  driver_.MakeAvailable(8);
  ExpectBroken("avail entry");
}

TEST_F(HostileQueueTest, NextIsBeyondTheTable) {
  driver_.SetDescriptor(0, {data_.value, 1, kDescNext, 8});
  driver_.MakeAvailable(0);
  ExpectBroken("next is beyond");
}

TEST_F(HostileQueueTest, ChainPointsToItself) {
  driver_.SetDescriptor(0, {data_.value, 1, kDescNext, 0});
  driver_.MakeAvailable(0);
  ExpectBroken("too long or loops");
}

TEST_F(HostileQueueTest, ChainIsACircle) {
  driver_.SetDescriptor(0, {data_.value, 1, kDescNext, 5});
  driver_.SetDescriptor(5, {data_.value, 0, kDescNext, 0});
  driver_.MakeAvailable(0);
  ExpectBroken("too long or loops");
}

TEST_F(HostileQueueTest, BufferIsOutsideRam) {
  driver_.WritableAt(Gpa{memory_.size()}, 1).Submit();
  ExpectBroken("buffer is outside RAM");
}

TEST_F(HostileQueueTest, BufferLeavesRam) {
  driver_.WritableAt(Gpa{memory_.size() - 1}, 2).Submit();
  ExpectBroken("buffer is outside RAM");
}

TEST_F(HostileQueueTest, BufferWrapsTheAddressSpace) {
  driver_.WritableAt(Gpa{~uint64_t{0}}, 0xffffffff).Submit();
  ExpectBroken("buffer is outside RAM");
}

// 2.7.4.2: "The driver MUST place any device-writable descriptor elements
// after any device-readable descriptor elements."
TEST_F(HostileQueueTest, ReadableAfterWritable) {
  driver_.Writable(1).ReadableText("x").Submit();
  ExpectBroken("readable buffer after a writable one");
}

TEST_F(HostileQueueTest, ReadableAfterWritableAcrossAnIndirectTable) {
  ASSERT_TRUE(memory_.Store(data_, VirtqDesc{data_.value, 1, 0, 0}));
  driver_.SetDescriptor(2, {data_.value, 1, kDescNext | kDescWrite, 3});
  driver_.SetDescriptor(3, {data_.value, 16, kDescIndirect, 0});
  driver_.MakeAvailable(2);
  ExpectBroken("readable buffer after a writable one");
}

// 2.7.4.2: no descriptor chain longer than 2^32 bytes in total.
TEST_F(HostileQueueTest, ChainHoldsMoreThanItsLengthCanSay) {
  const std::array<RamRange, 1> big{RamRange{Gpa{0}, 0xc0000000}};
  const GuestMemory memory = *GuestMemory::Create(big, {});
  FakeDriver driver(memory, 8);
  VirtQueue queue = driver.CreateQueue();
  driver.WritableAt(Gpa{0}, 0x80000000).WritableAt(Gpa{0}, 0x80000000);
  driver.Submit();

  EXPECT_FALSE(queue.Pop());

  EXPECT_THAT(queue.error(), HasSubstr("2^32 - 1"));
}

// 2.7.5.3.1: not unless VIRTIO_F_INDIRECT_DESC was negotiated.
TEST_F(HostileQueueTest, IndirectWithoutTheFeature) {
  VirtQueue queue = driver_.CreateQueue(kFeatureVersion1);
  SubmitIndirect(data_, 16);

  EXPECT_FALSE(queue.Pop());

  EXPECT_TRUE(queue.broken());
}

// 2.7.5.3.1: "MUST NOT set the VIRTQ_DESC_F_INDIRECT flag within an indirect
// descriptor".
TEST_F(HostileQueueTest, NestedIndirect) {
  ASSERT_TRUE(
      memory_.Store(data_, VirtqDesc{data_.value, 16, kDescIndirect, 0}));
  SubmitIndirect(data_, 16);
  ExpectBroken("indirect descriptor not allowed here");
}

// 2.7.5.3.1: "MUST NOT set both VIRTQ_DESC_F_INDIRECT and VIRTQ_DESC_F_NEXT".
TEST_F(HostileQueueTest, IndirectWithNext) {
  SubmitIndirect(data_, 16, kDescNext);
  ExpectBroken("with NEXT");
}

TEST_F(HostileQueueTest, IndirectTableIsEmpty) {
  SubmitIndirect(data_, 0);
  ExpectBroken("multiple of 16");
}

TEST_F(HostileQueueTest, IndirectTableHasAnOddLength) {
  SubmitIndirect(data_, 24);
  ExpectBroken("multiple of 16");
}

TEST_F(HostileQueueTest, IndirectTableLeavesRam) {
  SubmitIndirect(Gpa{memory_.size() - 16}, 32);
  ExpectBroken("indirect table is outside RAM");
}

TEST_F(HostileQueueTest, IndirectTableHasTheGreatestLength) {
  SubmitIndirect(data_, 0xfffffff0);
  ExpectBroken("indirect table is outside RAM");
}

TEST_F(HostileQueueTest, IndirectNextIsBeyondItsTable) {
  ASSERT_TRUE(memory_.Store(data_, VirtqDesc{data_.value, 1, kDescNext, 2}));
  SubmitIndirect(data_, 32);
  ExpectBroken("next is beyond");
}

TEST_F(HostileQueueTest, IndirectTableLoops) {
  ASSERT_TRUE(memory_.Store(data_, VirtqDesc{data_.value, 1, kDescNext, 0}));
  SubmitIndirect(data_, 32);
  ExpectBroken("too long or loops");
}

// A chain that would make the monitor keep a very long list of buffers.
TEST_F(HostileQueueTest, IndirectChainIsVeryLong) {
  const Gpa table = driver_.Allocate(16 * 2048);
  for (uint16_t i = 0; i < 2048; ++i) {
    ASSERT_TRUE(memory_.Store(
        table + 16ull * i,
        VirtqDesc{data_.value, 1, kDescNext, static_cast<uint16_t>(i + 1)}));
  }
  SubmitIndirect(table, 16 * 2048);
  ExpectBroken("too long or loops");
}

// A driver owns `size` descriptors: it cannot have more chains in flight. One
// that makes the same head available again and again would fill the monitor.
TEST_F(HostileQueueTest, MoreChainsInFlightThanDescriptors) {
  for (int i = 0; i < 8; ++i) {
    driver_.MakeAvailable(0);
    ASSERT_TRUE(queue_.Pop());
  }
  driver_.MakeAvailable(0);
  ExpectBroken("in flight");
}

TEST_F(HostileQueueTest, PushOnABrokenQueueTouchesNothing) {
  queue_.Break("test");

  queue_.Push(0, 1);

  EXPECT_EQ(driver_.used_index(), 0);
  EXPECT_FALSE(queue_.ShouldNotify());
  EXPECT_EQ(queue_.error(), "test");
}

class QueueSetUpTest : public HostileQueueTest {
 protected:
  void ExpectRefused(const QueueConfig& config) {
    EXPECT_FALSE(VirtQueue::Create(memory_, config, 0).ok());
  }
  QueueConfig config_ = driver_.config();
};

// 2.7: "Queue Size value is always a power of 2", at most 32768.
TEST_F(QueueSetUpTest, SizeIsZero) {
  config_.size = 0;
  ExpectRefused(config_);
}

TEST_F(QueueSetUpTest, SizeIsNotAPowerOfTwo) {
  config_.size = 7;
  ExpectRefused(config_);
}

// 2.7: alignments 16, 2 and 4.
TEST_F(QueueSetUpTest, DescriptorTableIsMisaligned) {
  config_.desc = config_.desc + 8;
  ExpectRefused(config_);
}

TEST_F(QueueSetUpTest, AvailableRingIsMisaligned) {
  config_.driver = config_.driver + 1;
  ExpectRefused(config_);
}

TEST_F(QueueSetUpTest, UsedRingIsMisaligned) {
  config_.device = config_.device + 2;
  ExpectRefused(config_);
}

TEST_F(QueueSetUpTest, DescriptorTableIsOutsideRam) {
  config_.desc = Gpa{memory_.size() - 16};
  ExpectRefused(config_);
}

TEST_F(QueueSetUpTest, AvailableRingIsOutsideRam) {
  config_.driver = Gpa{~uint64_t{1}};
  ExpectRefused(config_);
}

TEST_F(QueueSetUpTest, UsedRingEndsOneByteBeyondRam) {
  config_.device = Gpa{memory_.size() - UsedRingSize(8) + 2};
  config_.device.value &= ~uint64_t{3};
  config_.device = config_.device + 4;
  ExpectRefused(config_);
}

}  // namespace
}  // namespace kvmlet::virtio
