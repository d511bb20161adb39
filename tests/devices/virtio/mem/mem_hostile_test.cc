// SPDX-License-Identifier: Apache-2.0
// Drivers that break the rules, or point at memory that is not there.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/devices/virtio/mem/mem_fixture.h"

namespace kvmlet::virtio {
namespace {

constexpr auto kAck = MemResponseType::kAck;

class MemHostileTest : public MemFixture {
 protected:
  // The device gives up, tells so once, and serves again after a reset.
  void ExpectNeedsReset() {
    EXPECT_TRUE(RunUntil([this] { return !events_.reset_why.empty(); }));
    EXPECT_EQ(device_memory_->plugged_size(), 0u);
    EXPECT_FALSE(device_->status().driver);
    device_->Reset();
    events_.reset_why.clear();
    driver_ = fakes::FakeDriver(memory_, 64);
    ASSERT_TRUE(memory_.Zero(driver_.config().driver, 4));
    ASSERT_TRUE(memory_.Zero(driver_.config().device, 4));
    Activate();
    EXPECT_EQ(Answer(Plug(0, 1)), kAck);
  }
};

TEST_F(MemHostileTest, AShortRequest) {
  Activate();
  const MemRequest request = Plug(0, 1);
  driver_.Readable(std::as_bytes(std::span(&request, 1)).first(23))
      .Writable(10)
      .Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, AShortResponse) {
  Activate();
  driver_.Readable(Plug(0, 1)).Writable(9).Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, NothingToWriteTo) {
  Activate();
  driver_.Readable(Plug(0, 1)).Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, NothingToRead) {
  Activate();
  driver_.Writable(64).Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, ARequestInUnpluggedMemory) {
  Activate();
  driver_.ReadableAt(Gpa{kBase}, 24).Writable(10).Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, ARequestThatEndsInUnpluggedMemory) {
  ASSERT_TRUE(device_memory_->Plug(0, 1).ok());
  device_memory_->UnplugAll();
  Activate();
  driver_.ReadableAt(Gpa{kBase + kBlock - 12}, 24).Writable(10).Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, AResponseInUnpluggedMemory) {
  Activate();
  driver_.Readable(Plug(0, 1)).WritableAt(Gpa{kBase}, 10).Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, AQueueInUnpluggedMemoryIsNone) {
  QueueConfig config = driver_.config();
  config.device = Gpa{kBase};
  EXPECT_FALSE(VirtQueue::Create(memory_, config, kFeatureVersion1).ok());
}

// The response lies in the block that the request unplugs: it is written to
// memory that is nobody's any more.
TEST_F(MemHostileTest, AResponseInsideTheBlockThatGoes) {
  ASSERT_TRUE(device_memory_->Plug(0, 2).ok());
  Activate();
  driver_.Readable(Unplug(0, 1)).WritableAt(Gpa{kBase + 64}, 10).Submit();
  EXPECT_TRUE(RunUntil([this] { return driver_.used_index() == 1; }));
  EXPECT_EQ(device_memory_->plugged_size(), kBlock);
  EXPECT_GE(device_memory_->DiscardTouched(), 4096u);
  EXPECT_EQ(Answer(State(0, 1)), kAck);
}

// So do the rings: the queue breaks, the device lives.
TEST_F(MemHostileTest, RingsInsideTheBlockThatGoes) {
  ASSERT_TRUE(device_memory_->Plug(0, 1).ok());
  fakes::FakeDriver inside(memory_, 16, Gpa{kBase}, 0x40000);
  ActiveState state{.memory = &memory_,
                    .events = &events_,
                    .features = kFeatureVersion1,
                    .queues = {}};
  state.queues.push_back({.index = 0,
                          .queue = inside.CreateQueue(kFeatureVersion1),
                          .kick = &kick_});
  ASSERT_TRUE(device_->Activate(std::move(state)).ok());
  inside.Readable(Unplug(0, 1)).Writable(10).Submit();
  ExpectNeedsReset();
}

TEST_F(MemHostileTest, AnIndexThatJumps) {
  Activate();
  driver_.SetAvailIndex(5000);
  ExpectNeedsReset();
}

}  // namespace
}  // namespace kvmlet::virtio
