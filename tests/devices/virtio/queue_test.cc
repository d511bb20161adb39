// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {
namespace {

using fakes::FakeDriver;
using fakes::FakeRequest;

constexpr uint64_t kNoEventIndex = kFeatureVersion1 | kFeatureIndirectDesc;

class QueueTest : public ::testing::Test {
 protected:
  static std::string ReadText(DescriptorChain& chain) {
    std::vector<char> text(chain.reader().remaining());
    EXPECT_TRUE(chain.reader().Read(std::as_writable_bytes(std::span(text))));
    return {text.begin(), text.end()};
  }

  GuestMemory memory_ = fakes::MakeMemory();
  FakeDriver driver_{memory_, 8};
  VirtQueue queue_ = driver_.CreateQueue();
};

TEST_F(QueueTest, EmptyRingGivesNothing) {
  EXPECT_FALSE(queue_.Pop());
  EXPECT_FALSE(queue_.HasAvailable());
  EXPECT_FALSE(queue_.broken());
}

TEST_F(QueueTest, PopsReadableThenWritable) {
  driver_.ReadableText("hello ").ReadableText("world").Writable(4).Submit();

  std::optional<DescriptorChain> chain = queue_.Pop();

  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->writer().remaining(), 4u);
  EXPECT_EQ(ReadText(*chain), "hello world");
}

TEST_F(QueueTest, PushReachesTheDriver) {
  const FakeRequest request = driver_.Writable(4).Submit();
  std::optional<DescriptorChain> chain = queue_.Pop();
  ASSERT_TRUE(chain->writer().Write(std::array<char, 3>{'a', 'b', 'c'}));

  queue_.Push(chain->head(), chain->writer().written());

  const auto used = driver_.PopUsed();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->id, request.head());
  EXPECT_EQ(used->len, 3u);
  EXPECT_EQ(request.WrittenText(3), "abc");
}

TEST_F(QueueTest, IndicesWrapAtSixteenBits) {
  for (int i = 0; i < 70000; ++i) {
    driver_.Writable(1).Submit();
    std::optional<DescriptorChain> chain = queue_.Pop();
    ASSERT_TRUE(chain) << i << queue_.error();
    queue_.Push(chain->head(), 1);
    ASSERT_TRUE(driver_.PopUsed());
  }
}

TEST_F(QueueTest, AFullRingIsServed) {
  for (int i = 0; i < 8; ++i) driver_.Writable(1).Submit();

  int popped = 0;
  while (queue_.Pop()) ++popped;

  EXPECT_EQ(popped, 8);
  EXPECT_FALSE(queue_.broken());
}

TEST_F(QueueTest, ChainsMayBePushedOutOfOrder) {
  const FakeRequest first = driver_.Writable(1).Submit();
  const FakeRequest second = driver_.Writable(1).Submit();
  const std::optional<DescriptorChain> a = queue_.Pop();
  const std::optional<DescriptorChain> b = queue_.Pop();

  queue_.Push(b->head(), 1);
  queue_.Push(a->head(), 1);

  EXPECT_EQ(driver_.PopUsed()->id, second.head());
  EXPECT_EQ(driver_.PopUsed()->id, first.head());
}

TEST_F(QueueTest, UnpopGivesTheSameChainAgain) {
  const FakeRequest first = driver_.Writable(1).Submit();
  driver_.Writable(1).Submit();
  EXPECT_EQ(queue_.Pop()->head(), first.head());

  queue_.Unpop();

  EXPECT_TRUE(queue_.HasAvailable());
  EXPECT_EQ(queue_.Pop()->head(), first.head());
}

TEST_F(QueueTest, StagedEntriesAppearTogether) {
  driver_.Writable(1).Submit();
  driver_.Writable(1).Submit();
  const uint16_t a = queue_.Pop()->head();
  const uint16_t b = queue_.Pop()->head();

  queue_.Stage(a, 1);
  queue_.Stage(b, 1);
  EXPECT_EQ(driver_.used_index(), 0);
  queue_.Publish();

  EXPECT_EQ(driver_.used_index(), 2);
}

TEST_F(QueueTest, WalksAnIndirectTable) {
  driver_.Indirect().ReadableText("in").ReadableText("direct").Writable(9);
  driver_.Submit();

  std::optional<DescriptorChain> chain = queue_.Pop();

  ASSERT_TRUE(chain) << queue_.error();
  EXPECT_EQ(chain->writer().remaining(), 9u);
  EXPECT_EQ(ReadText(*chain), "indirect");
}

// 2.7.5.3.1: "A device MUST ignore the write-only flag in the descriptor that
// refers to an indirect table", and must handle "zero or more normal chained
// descriptors followed by" it.
TEST_F(QueueTest, WalksDirectDescriptorsBeforeAnIndirectOne) {
  const Gpa table = driver_.Allocate(32);
  const Gpa data = driver_.Allocate(16);
  ASSERT_TRUE(memory_.Store(table, VirtqDesc{data.value, 5, kDescNext, 1}));
  ASSERT_TRUE(
      memory_.Store(table + 16, VirtqDesc{data.value, 7, kDescWrite, 0}));
  driver_.SetDescriptor(3, {data.value, 2, kDescNext, 6});
  driver_.SetDescriptor(6, {table.value, 32, kDescIndirect | kDescWrite, 0});
  driver_.MakeAvailable(3);

  std::optional<DescriptorChain> chain = queue_.Pop();

  ASSERT_TRUE(chain) << queue_.error();
  EXPECT_EQ(chain->reader().remaining(), 7u);
  EXPECT_EQ(chain->writer().remaining(), 7u);
}

// An indirect chain may hold more buffers than the queue has descriptors.
TEST_F(QueueTest, IndirectTableMayBeLongerThanTheQueue) {
  driver_.Indirect();
  for (int i = 0; i < 100; ++i) driver_.Writable(1);
  driver_.Submit();

  std::optional<DescriptorChain> chain = queue_.Pop();

  ASSERT_TRUE(chain) << queue_.error();
  EXPECT_EQ(chain->writer().remaining(), 100u);
}

TEST_F(QueueTest, ZeroLengthBuffersAreSkipped) {
  driver_.ReadableAt(Gpa{0}, 0).ReadableText("x").WritableAt(Gpa{~0ull}, 0);
  driver_.Submit();

  std::optional<DescriptorChain> chain = queue_.Pop();

  ASSERT_TRUE(chain) << queue_.error();
  EXPECT_EQ(chain->reader().remaining(), 1u);
  EXPECT_EQ(chain->writer().remaining(), 0u);
}

// 2.7.10: with the event index the driver is told when used_event is passed.
TEST_F(QueueTest, NotifiesWhenUsedEventIsPassed) {
  driver_.SetUsedEvent(1);
  for (int i = 0; i < 3; ++i) driver_.Writable(1).Submit();

  queue_.Push(queue_.Pop()->head(), 1);
  EXPECT_FALSE(queue_.ShouldNotify());
  queue_.Push(queue_.Pop()->head(), 1);
  EXPECT_TRUE(queue_.ShouldNotify());
  queue_.Push(queue_.Pop()->head(), 1);
  EXPECT_FALSE(queue_.ShouldNotify());
}

TEST_F(QueueTest, NotifiesOncePerBatch) {
  driver_.SetUsedEvent(0);
  for (int i = 0; i < 3; ++i) driver_.Writable(1).Submit();
  for (int i = 0; i < 3; ++i) queue_.Push(queue_.Pop()->head(), 1);

  EXPECT_TRUE(queue_.ShouldNotify());
  EXPECT_FALSE(queue_.ShouldNotify());
}

// 2.7.7: without the event index the flag decides.
TEST_F(QueueTest, AvailFlagSuppressesNotifications) {
  VirtQueue queue = driver_.CreateQueue(kNoEventIndex);
  driver_.Writable(1).Submit();
  driver_.Writable(1).Submit();

  driver_.SetAvailFlags(kAvailNoInterrupt);
  queue.Push(queue.Pop()->head(), 1);
  EXPECT_FALSE(queue.ShouldNotify());
  driver_.SetAvailFlags(0);
  queue.Push(queue.Pop()->head(), 1);
  EXPECT_TRUE(queue.ShouldNotify());
}

TEST_F(QueueTest, AnEmptyRingAsksForTheNextKick) {
  driver_.Writable(1).Submit();
  driver_.Writable(1).Submit();
  while (queue_.Pop()) {
  }

  EXPECT_EQ(driver_.avail_event(), 2);
}

TEST_F(QueueTest, PollingLeavesAvailEventBehind) {
  queue_.DisableKicks();
  driver_.Writable(1).Submit();
  while (queue_.Pop()) {
  }
  EXPECT_EQ(driver_.avail_event(), 0);

  queue_.EnableKicks();

  EXPECT_EQ(driver_.avail_event(), 1);
}

TEST_F(QueueTest, PollingSetsTheFlagWithoutEventIndex) {
  VirtQueue queue = driver_.CreateQueue(kNoEventIndex);

  queue.DisableKicks();
  EXPECT_EQ(driver_.used_flags(), kUsedNoNotify);
  queue.EnableKicks();
  EXPECT_EQ(driver_.used_flags(), 0);
}

TEST_F(QueueTest, RingMayEndAtTheEndOfRam) {
  QueueConfig config = driver_.config();
  config.device = Gpa{memory_.size() - UsedRingSize(8) - 2};

  EXPECT_TRUE(VirtQueue::Create(memory_, config, 0).ok());
}

}  // namespace
}  // namespace kvmlet::virtio
