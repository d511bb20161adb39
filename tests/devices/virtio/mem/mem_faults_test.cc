// SPDX-License-Identifier: Apache-2.0
// Faults on demand: which request gets them, and what the driver sees.
#include "devices/virtio/mem_faults.h"

#include <gtest/gtest.h>

#include "tests/devices/virtio/mem/mem_fixture.h"

namespace kvmlet::virtio {
namespace {

constexpr auto kAck = MemResponseType::kAck;
constexpr auto kNack = MemResponseType::kNack;
constexpr auto kBusy = MemResponseType::kBusy;
constexpr auto kError = MemResponseType::kError;

using MemFaultsTest = MemFixture;

MemFault Fault(MemResponseType response, uint64_t count) {
  MemFault fault;
  fault.response = response;
  fault.count = count;
  return fault;
}

TEST_F(MemFaultsTest, TheNextRequestsGetTheAnswerAndChangeNothing) {
  Activate();
  device_->SetFault(Fault(kBusy, 2));
  EXPECT_EQ(Answer(Plug(0, 1)), kBusy);
  EXPECT_EQ(Answer(State(0, 1)), kBusy);
  EXPECT_EQ(device_memory_->plugged_size(), 0u);
  EXPECT_EQ(Answer(Plug(0, 1)), kAck);
  EXPECT_EQ(device_->status().faults.at(0).hits, 2u);
}

TEST_F(MemFaultsTest, RulesApplyOneAfterTheOther) {
  Activate();
  device_->SetFault(Fault(kNack, 1));
  device_->SetFault(Fault(kError, 1));
  EXPECT_EQ(Answer(Plug(0, 1)), kNack);
  EXPECT_EQ(Answer(Plug(0, 1)), kError);
  EXPECT_EQ(Answer(Plug(0, 1)), kAck);
}

TEST_F(MemFaultsTest, AKindOfRequest) {
  Activate();
  MemFault fault = Fault(kBusy, 0);
  fault.request = MemRequestType::kUnplug;
  device_->SetFault(fault);
  EXPECT_EQ(Answer(Plug(0, 1)), kAck);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Answer(Unplug(0, 1)), kBusy);
  device_->ClearFaults();
  EXPECT_EQ(events_.config_changes, 1);
  EXPECT_EQ(Answer(Unplug(0, 1)), kAck);
}

TEST_F(MemFaultsTest, ARangeOfBlocks) {
  Activate();
  MemFault fault = Fault(kBusy, 0);
  fault.offset = 4 * kBlock;
  fault.size = 2 * kBlock;
  device_->SetFault(fault);
  EXPECT_EQ(Answer(Plug(0, 4)), kAck);
  EXPECT_EQ(Answer(Plug(4, 1)), kBusy);
  EXPECT_EQ(Answer(Plug(5, 4)), kBusy);
  EXPECT_EQ(Answer(Plug(6, 2)), kAck);
  EXPECT_EQ(Answer(Unplug(0, 1)), kAck);
  EXPECT_EQ(Answer(UnplugAll()), kAck);
}

TEST_F(MemFaultsTest, ADelayHoldsTheRequestAndThoseBehindIt) {
  Activate();
  MemFault fault;
  fault.delay = std::chrono::milliseconds(50);
  fault.count = 1;
  device_->SetFault(fault);
  const auto start = EventLoop::Clock::now();
  driver_.Readable(Plug(0, 1)).Writable(10).Submit();
  driver_.Readable(Plug(1, 1)).Writable(10).Submit();
  ASSERT_TRUE(RunUntil([this] { return driver_.used_index() == 2; }));
  EXPECT_GE(EventLoop::Clock::now() - start, fault.delay);
  EXPECT_EQ(driver_.PopUsed()->id, 0u);
  EXPECT_EQ(device_memory_->plugged_size(), 2 * kBlock);
}

TEST_F(MemFaultsTest, AResetDropsWhatIsDelayed) {
  Activate();
  MemFault fault;
  fault.delay = std::chrono::milliseconds(20);
  device_->SetFault(fault);
  driver_.Readable(Plug(0, 1)).Writable(10).Submit();
  RunUntil([] { return true; });
  device_->Reset();
  loop_->RunAfter(std::chrono::milliseconds(60), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_EQ(driver_.used_index(), 0);
  EXPECT_EQ(device_memory_->plugged_size(), 0u);
}

TEST_F(MemFaultsTest, AnInjectedBusyIsNotNudged) {
  Activate();
  device_->SetFault(Fault(kBusy, 1));
  EXPECT_EQ(Answer(Plug(0, 1)), kBusy);
  loop_->RunAfter(std::chrono::milliseconds(1200), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_EQ(events_.config_changes, 0);
}

}  // namespace
}  // namespace kvmlet::virtio
