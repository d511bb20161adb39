// SPDX-License-Identifier: Apache-2.0
// The device as its transport and its driver see it.
#include "devices/virtio/mem.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "tests/devices/virtio/mem/mem_fixture.h"

namespace kvmlet::virtio {
namespace {

constexpr auto kAck = MemResponseType::kAck;
constexpr auto kBusy = MemResponseType::kBusy;

class MemTest : public MemFixture {
 protected:
  template <typename T>
  T ReadConfig(uint32_t offset) {
    T value{};
    device_->ReadConfig(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
};

TEST_F(MemTest, ServesRequests) {
  Activate();
  EXPECT_EQ(Answer(Plug(0, 4)), kAck);
  EXPECT_EQ(device_memory_->plugged_size(), 4 * kBlock);
  const auto state = Ask(State(2, 4));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->state, static_cast<uint16_t>(MemState::kMixed));
  EXPECT_EQ(Answer(Unplug(0, 4)), kAck);
  EXPECT_GE(events_.notifications, 3);
  EXPECT_EQ(changes_, 2);
}

TEST_F(MemTest, RequestsAndResponsesMayBeInPieces) {
  Activate();
  const MemRequest request = Plug(0, 1);
  const auto bytes = std::as_bytes(std::span(&request, 1));
  const auto sent = driver_.Readable(bytes.first(3))
                        .Readable(bytes.subspan(3, 14))
                        .Readable(bytes.subspan(17))
                        .Readable(bytes.first(5))  // trailing, ignored
                        .Writable(1)
                        .Writable(20)
                        .Submit();
  ASSERT_TRUE(RunUntil([this] { return driver_.used_index() == 1; }));
  EXPECT_EQ(driver_.PopUsed()->len, 10u);
  EXPECT_EQ(sent.WritableBytes(0)[0], std::byte{0});
  EXPECT_EQ(sent.WritableBytes(1)[9], std::byte{0xa5});  // beyond the tenth
  EXPECT_EQ(device_memory_->plugged_size(), kBlock);
}

TEST_F(MemTest, TheConfigurationReadsInEveryWidth) {
  EXPECT_EQ(ReadConfig<uint64_t>(0), kBlock);
  EXPECT_EQ(ReadConfig<uint32_t>(0x10), kBase & 0xffffffff);
  EXPECT_EQ(ReadConfig<uint32_t>(0x14), kBase >> 32);
  EXPECT_EQ(ReadConfig<uint16_t>(0x30), kRequested & 0xffff);
  EXPECT_EQ(ReadConfig<uint8_t>(0x33), kRequested >> 24);
  const std::array<std::byte, 8> ones{std::byte{1}};
  device_->WriteConfig(0x30, ones);
  EXPECT_EQ(ReadConfig<uint64_t>(0x30), kRequested);
}

TEST_F(MemTest, OnlyResizingInterrupts) {
  Activate();
  EXPECT_EQ(Answer(Plug(0, 4)), kAck);
  EXPECT_EQ(Answer(UnplugAll()), kAck);
  EXPECT_EQ(events_.config_changes, 0);
  ASSERT_TRUE(device_->Resize(kBlock).ok());
  EXPECT_EQ(events_.config_changes, 1);
  EXPECT_FALSE(device_->Resize(1).ok());
  EXPECT_EQ(events_.config_changes, 1);
}

TEST_F(MemTest, TellsWhenItWasResizedLast) {
  EXPECT_FALSE(device_->status().last_resize);
  EXPECT_FALSE(device_->Resize(1).ok());
  EXPECT_FALSE(device_->status().last_resize);
  const auto before = MemDevice::Clock::now();
  ASSERT_TRUE(device_->Resize(kBlock).ok());
  ASSERT_TRUE(device_->status().last_resize);
  EXPECT_GE(*device_->status().last_resize, before);
}

TEST_F(MemTest, FeaturesNameTheNodeOnlyWhenThereIsOne) {
  EXPECT_EQ(device_->device_features(),
            kMemUnpluggedInaccessible | kMemPersistentSuspend);
  EXPECT_EQ(device_->required_features(), kMemUnpluggedInaccessible);
  MemBlocks::Options options = Options();
  options.node = 3;
  MemDevice other(*device_memory_, options, *loop_, [] {});
  EXPECT_NE(other.device_features() & kMemAcpiPxm, 0u);
  uint16_t node = 0;
  other.ReadConfig(8, std::as_writable_bytes(std::span(&node, 1)));
  EXPECT_EQ(node, 3);
}

TEST_F(MemTest, ADeviceResetKeepsBlocksAndTheirContent) {
  Activate();
  ASSERT_EQ(Answer(Plug(5, 2)), kAck);
  ASSERT_TRUE(memory_.Store(Gpa{kBase + 5 * kBlock}, uint64_t{42}));
  device_->Reset();
  EXPECT_FALSE(device_->status().driver);
  EXPECT_EQ(device_memory_->plugged_size(), 2 * kBlock);
  EXPECT_EQ(memory_.Load<uint64_t>(Gpa{kBase + 5 * kBlock}), 42u);
}

TEST_F(MemTest, ASystemResetUnplugs) {
  Activate();
  ASSERT_EQ(Answer(Plug(5, 2)), kAck);
  device_->Reset();
  device_->SystemReset();
  EXPECT_EQ(device_memory_->plugged_size(), 0u);
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(device_->status().config.requested_size, kRequested);
}

TEST_F(MemTest, AfterBusyTheDriverIsNudged) {
  Activate();
  gate_.shut = true;
  EXPECT_EQ(Answer(Plug(0, 1)), kBusy);
  EXPECT_EQ(device_->status().busy, "the gate is shut");
  EXPECT_EQ(events_.config_changes, 0);
  EXPECT_TRUE(RunUntil([this] { return events_.config_changes == 1; }));
  gate_.shut = false;
  EXPECT_EQ(Answer(Plug(0, 1)), kAck);
  EXPECT_EQ(device_->status().busy, "");
}

// As a vhost device of the kernel's could, which knows the memory for good.
TEST_F(MemTest, WhatIsTouchedLongAfterTheUnplugIsFoundToo) {
  Activate();
  EXPECT_EQ(Answer(Plug(0, 1)), kAck);
  std::byte* const host = device_memory_->Host(Gpa{kBase}, 1);
  ASSERT_NE(host, nullptr);
  EXPECT_EQ(Answer(Unplug(0, 1)), kAck);
  // Several audits find nothing.
  loop_->RunAfter(std::chrono::milliseconds(300), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_EQ(device_->status().touched_unplugged, 0u);
  *host = std::byte{1};
  EXPECT_TRUE(
      RunUntil([this] { return device_->status().touched_unplugged > 0; }));
}

TEST_F(MemTest, AnswersAreCounted) {
  Activate();
  Answer(Plug(0, 1));
  Answer(Plug(0, 1));
  Answer(Plug(1, 40));
  Answer(State(0, 1));
  const auto status = device_->status();
  EXPECT_TRUE(status.driver);
  EXPECT_EQ(status.answers[0], (std::array<uint64_t, 4>{1, 1, 0, 1}));
  EXPECT_EQ(status.answers[3], (std::array<uint64_t, 4>{1, 0, 0, 0}));
  EXPECT_TRUE(status.last_request);
}

TEST_F(MemTest, ManyRequestsOfOneKickAreAllServed) {
  Activate();
  for (uint16_t i = 0; i < 20; ++i) {
    driver_.Readable(Plug(i, 1)).Writable(10).Submit();
  }
  EXPECT_TRUE(RunUntil([this] { return driver_.used_index() == 20; }));
  EXPECT_EQ(device_memory_->plugged_size(), 20 * kBlock);
}

}  // namespace
}  // namespace kvmlet::virtio
