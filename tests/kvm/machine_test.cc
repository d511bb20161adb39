// SPDX-License-Identifier: Apache-2.0
// A whole machine in this process: its states, ends and questions.
#include "vmm/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_char_backend.h"
#include "tests/kvm/kvm_required.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class MachineTest : public KvmRequired,
                    protected MachineListener,
                    protected EventSink {
 protected:
  void Build(const std::string& payload, uint32_t cpus = 1) {
    config_.kernel = std::string(KVMLET_PAYLOADS) + "/" + payload + ".elf";
    config_.cpus.count = cpus;
    config_.memory.size = 64 << 20;
    events_.AddSink(*this);
    auto machine = Machine::Create({.config = config_,
                                    .loop = *loop_,
                                    .serial = serial_,
                                    .events = events_,
                                    .listener = *this});
    ASSERT_TRUE(machine.ok()) << machine.status();
    machine_ = *std::move(machine);
  }
  void Start() { ASSERT_TRUE(machine_->Start().ok()); }
  // Until the guest ended the machine, at most 20 seconds.
  void RunToEnd() {
    loop_->RunAfter(std::chrono::seconds(20), [this] { loop_->Stop(); });
    loop_->Run();
  }

  // MachineListener and EventSink.
  void OnEnd(Verdict verdict) override {
    verdicts_.push_back(std::move(verdict));
    loop_->Stop();
  }
  void OnReset() override {
    ++resets_;
    if (on_reset_) on_reset_();
  }
  void OnRestart() override { ++restarts_; }
  void OnEvent(const Event& event) override { names_.push_back(event.name); }

  VmConfig config_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  fakes::FakeCharBackend serial_;
  Events events_;
  std::vector<Verdict> verdicts_;
  std::vector<std::string> names_;
  int resets_ = 0;
  int restarts_ = 0;
  std::function<void()> on_reset_;
  std::unique_ptr<Machine> machine_;
};

TEST_F(MachineTest, ItRunsAGuestToItsEnd) {
  Build("hello");
  EXPECT_EQ(machine_->run_state(), RunState::kPrelaunch);
  Start();
  EXPECT_EQ(machine_->run_state(), RunState::kRunning);
  RunToEnd();
  ASSERT_EQ(verdicts_.size(), 1u);
  EXPECT_EQ(verdicts_[0].reason, VerdictReason::kExit);
  EXPECT_EQ(verdicts_[0].door, Door::kExitDevice);
  EXPECT_EQ(serial_.output(), "hello from the guest\n");
  EXPECT_EQ(machine_->run_state(), RunState::kShutdown);
  EXPECT_THAT(names_, ElementsAre("SHUTDOWN"));
}

TEST_F(MachineTest, TheFirstEndCounts) {
  Build("spin");
  Start();
  machine_->EndWith({.reason = VerdictReason::kTimeout},
                    ShutdownCause::kHostError);
  machine_->EndWith({.reason = VerdictReason::kSignal, .code = 15},
                    ShutdownCause::kHostSignal);
  machine_->Quit();
  ASSERT_EQ(verdicts_.size(), 1u);
  EXPECT_EQ(verdicts_[0].reason, VerdictReason::kTimeout);
  EXPECT_THAT(names_, ElementsAre("SHUTDOWN"));
}

TEST_F(MachineTest, AnEndedMachineRefusesOrders) {
  Build("spin");
  Start();
  machine_->Quit();
  EXPECT_FALSE(machine_->Pause().ok());
  EXPECT_FALSE(machine_->Resume().ok());
  EXPECT_FALSE(machine_->SystemReset().ok());
  EXPECT_FALSE(machine_->PowerButton().ok());
}

TEST_F(MachineTest, PauseAndResumeAreIdempotent) {
  Build("spin");
  Start();
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(machine_->Pause().ok());
  EXPECT_EQ(machine_->run_state(), RunState::kPaused);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(machine_->Resume().ok());
  EXPECT_EQ(machine_->run_state(), RunState::kRunning);
  EXPECT_THAT(names_, ElementsAre("STOP", "RESUME"));
}

TEST_F(MachineTest, AResetKeepsAPausedMachinePaused) {
  Build("spin");
  Start();
  ASSERT_TRUE(machine_->Pause().ok());
  ASSERT_TRUE(machine_->SystemReset().ok());
  EXPECT_EQ(machine_->run_state(), RunState::kPaused);
  ASSERT_TRUE(machine_->Resume().ok());
  EXPECT_EQ(machine_->run_state(), RunState::kRunning);
}

TEST_F(MachineTest, ManyResetsOfARunningGuest) {
  Build("spin", 2);
  Start();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(machine_->SystemReset().ok());
  EXPECT_EQ(machine_->run_state(), RunState::kRunning);
  EXPECT_EQ(std::ranges::count(names_, "RESET"), 50);
  EXPECT_EQ(resets_, 0);  // those were not the guest's
}

TEST_F(MachineTest, TheGuestsOwnResetIsToldBeforehand) {
  config_.on_reset = OnReset::kExit;
  Build("reset_acpi");
  Start();
  RunToEnd();
  EXPECT_EQ(resets_, 1);
  ASSERT_EQ(verdicts_.size(), 1u);
  EXPECT_EQ(verdicts_[0].reason, VerdictReason::kReset);
}

TEST_F(MachineTest, WhatAGuestAskedForBeforeItsResetIsForgotten) {
  Build("spin", 2);
  Start();
  // Another vCPU asks as well, before it is stopped for the first's reset.
  on_reset_ = [this] { machine_->PowerOff(Door::kAcpiSleep); };
  machine_->Reset(Door::kI8042);
  loop_->RunAfter(std::chrono::milliseconds(100), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_TRUE(verdicts_.empty());
  EXPECT_THAT(names_, ElementsAre("RESET"));
  // The new guest is heard.
  on_reset_ = nullptr;
  machine_->PowerOff(Door::kAcpiSleep);
  RunToEnd();
  ASSERT_EQ(verdicts_.size(), 1u);
  EXPECT_EQ(verdicts_[0].reason, VerdictReason::kPowerOff);
}

TEST_F(MachineTest, EveryResetIsToldOnceItIsDone) {
  Build("spin");
  Start();
  ASSERT_TRUE(machine_->SystemReset().ok());
  machine_->Reset(Door::kI8042);
  loop_->RunAfter(std::chrono::milliseconds(100), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_EQ(restarts_, 2);
}

TEST_F(MachineTest, CrashKernelNoticesDoNotPileUp) {
  Build("spin");
  Start();
  // Faster than the loop can tell it.
  for (int i = 0; i < 1000; ++i) machine_->Panic(Door::kPvpanic, true);
  loop_->RunAfter(std::chrono::milliseconds(10), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_THAT(names_, ElementsAre("GUEST_PANICKED"));
  machine_->Panic(Door::kPvpanic, true);
  loop_->RunAfter(std::chrono::milliseconds(10), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_EQ(names_.size(), 2u);
}

TEST_F(MachineTest, AGuestThatLeftWhilePausedIsHeardAfterwards) {
  Build("exit");
  Start();
  ASSERT_TRUE(machine_->Pause().ok());
  ASSERT_TRUE(machine_->Resume().ok());
  RunToEnd();
  EXPECT_EQ(verdicts_.size(), 1u);
}

TEST_F(MachineTest, ItKnowsItsPartsAndNobodyElses) {
  config_.name = "test";
  Build("spin", 2);
  Start();
  EXPECT_EQ(machine_->vm_name(), "test");
  EXPECT_EQ(machine_->memory_size(), 64u << 20);
  ASSERT_EQ(machine_->vcpus().size(), 2u);
  EXPECT_EQ(machine_->vcpus()[1].core, 1u);
  EXPECT_FALSE(machine_->devices().empty());
  EXPECT_EQ(machine_->ResizeDisk("none").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*machine_->RegistersText(), HasSubstr("vcpu 1:\nRIP="));
}

TEST_F(MachineTest, WhatCannotBeBuiltLeavesNothing) {
  config_.kernel = "/no/such/kernel";
  const auto machine = Machine::Create({.config = config_,
                                        .loop = *loop_,
                                        .serial = serial_,
                                        .events = events_,
                                        .listener = *this});
  EXPECT_FALSE(machine.ok());
  EXPECT_TRUE(names_.empty());
}

TEST_F(MachineTest, ItCanDieWhileItRuns) {
  Build("spin", 2);
  Start();
  machine_.reset();
  EXPECT_TRUE(verdicts_.empty());
}

}  // namespace
}  // namespace kvmlet
