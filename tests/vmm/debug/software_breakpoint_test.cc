// SPDX-License-Identifier: Apache-2.0
// Breakpoints that live in guest memory, and stops of several vCPUs at once:
// few hosts of these tests report a breakpoint instruction, so a fake does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vmm/debug/debugger_fixture.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

using SoftwareBreakpointTest = DebuggerTest;

TEST_F(SoftwareBreakpointTest, TheClientNeverSeesOurInstruction) {
  EXPECT_EQ(Ask("Z0,11000,1"), "OK");
  EXPECT_EQ(Byte(), 0xcc);
  EXPECT_EQ(Ask("m11000,2"), "5500");
  EXPECT_EQ(Ask("M11000,1:66"), "OK");
  EXPECT_EQ(Byte(), 0xcc);
  EXPECT_EQ(Ask("m11000,1"), "66");
  EXPECT_EQ(Ask("z0,11000,1"), "OK");
  EXPECT_EQ(Byte(), 0x66);
}

TEST_F(SoftwareBreakpointTest, AHitIsToldWithTheProgramCounterAtIt) {
  Ask("Z0,11000,1");
  EXPECT_EQ(Ask("vCont;c"), "");
  EXPECT_TRUE(arch_->armed_[1].software_breakpoints);
  Exit(1, {.pc = kCode, .instruction = true});
  EXPECT_THAT(Settle(), testing::AllOf(StartsWith("T05thread:2;swbreak:;"),
                                       HasSubstr("0:0010010000000000;")));
  EXPECT_THAT(target_.running_, ElementsAre(false, false, false));
}

TEST_F(SoftwareBreakpointTest, GoingOnPassesItAloneAndPutsItBack) {
  Ask("Z0,11000,1");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .instruction = true});
  Settle();
  EXPECT_EQ(Ask("vCont;c"), "");
  // Out of memory while one vCPU, and no other, executes what was there.
  EXPECT_EQ(Byte(), 0x55);
  EXPECT_THAT(target_.running_, ElementsAre(false, true, false));
  EXPECT_TRUE(arch_->armed_[1].single_step);
  EXPECT_TRUE(arch_->armed_[1].block_interrupts);
  Exit(1, {.pc = kCode + 1, .step = true});
  EXPECT_EQ(Settle(), "");
  EXPECT_EQ(Byte(), 0xcc);
  EXPECT_THAT(target_.running_, ElementsAre(true, true, true));
  EXPECT_FALSE(arch_->armed_[1].single_step);
}

TEST_F(SoftwareBreakpointTest, AnInterruptWhileItIsLiftedPutsItBack) {
  Ask("Z0,11000,1");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .instruction = true});
  Settle();
  Ask("vCont;c");
  EXPECT_EQ(Byte(), 0x55);
  session_->OnInput("\x03");
  EXPECT_THAT(Reply(), StartsWith("T02thread:2;"));
  EXPECT_EQ(Byte(), 0xcc);
}

TEST_F(SoftwareBreakpointTest, OneThatIsNotOursGoesBackToTheGuest) {
  Ask("Z0,11000,1");
  Ask("vCont;c");
  Exit(0, {.pc = kCode + 0x10, .instruction = true});
  EXPECT_EQ(Settle(), "");
  EXPECT_EQ(arch_->given_back_[0], 1);
  EXPECT_TRUE(target_.running_[0]);
  // Unknown exceptions as well.
  Exit(0, {.pc = kCode + 0x20, .guest_cause = 1});
  EXPECT_EQ(arch_->given_back_[0], 2);
}

TEST_F(SoftwareBreakpointTest, TwoAtOnceAreToldOneAfterTheOther) {
  Ask("Z0,11000,1");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .instruction = true});
  Exit(2, {.pc = kCode, .instruction = true});
  EXPECT_THAT(Settle(), StartsWith("T05thread:2;"));
  // The first passes, alone; the second was not told and meets it again.
  Ask("vCont;c");
  EXPECT_THAT(target_.running_, ElementsAre(false, true, false));
  Exit(1, {.pc = kCode + 1, .step = true});
  Settle();
  EXPECT_THAT(target_.running_, ElementsAre(true, true, true));
  EXPECT_FALSE(arch_->armed_[2].single_step);
  Exit(2, {.pc = kCode, .instruction = true});
  EXPECT_THAT(Settle(), StartsWith("T05thread:3;swbreak"));
}

TEST_F(SoftwareBreakpointTest, AWatchpointHitAtTheSameTimeIsNotLost) {
  EXPECT_EQ(Ask("Z2,12000,8"), "OK");
  EXPECT_EQ(Ask("Z0,11000,1"), "OK");
  Ask("vCont;c");
  Exit(0, {.pc = kCode, .instruction = true});
  Exit(2, {.pc = kCode + 0x40, .slot = 0});
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;swbreak"));
  EXPECT_THAT(Ask("vCont;c"), StartsWith("T05thread:3;watch:12000;"));
}

TEST_F(SoftwareBreakpointTest, AStopOfAnEarlierRunIsOld) {
  Ask("Z0,11000,1");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .instruction = true});
  session_->OnInput("\x03");
  EXPECT_THAT(Reply(), StartsWith("T02"));
  EXPECT_EQ(Settle(), "") << "the interrupt was told, the hit comes again";
}

TEST_F(SoftwareBreakpointTest, WithoutMemoryItBecomesAHardwareOne) {
  EXPECT_EQ(Ask("Z0,ffffffff81000000,1"), "OK");
  EXPECT_THAT(debugger_->breakpoints().Describe(), HasSubstr("promoted"));
  Ask("vCont;c");
  ASSERT_EQ(arch_->armed_[0].slots.size(), 1u);
  EXPECT_EQ(arch_->armed_[0].slots[0].address, 0xffffffff81000000);
  Exit(0, {.pc = 0xffffffff81000000, .slot = 0});
  EXPECT_THAT(Settle(), HasSubstr("swbreak:;")) << "as it was asked for";
}

TEST_F(SoftwareBreakpointTest, WhatTheGuestPutThereStays) {
  Ask("Z0,11000,1");
  ASSERT_TRUE(target_.memory().Store(kCodeAt, uint8_t{0x90}));
  EXPECT_EQ(Ask("z0,11000,1"), "OK");
  EXPECT_EQ(Byte(), 0x90);
}

TEST_F(SoftwareBreakpointTest, AResetPutsItIntoTheNewMemory) {
  Ask("Z0,11000,1");
  ASSERT_TRUE(target_.memory().Store(kCodeAt, uint8_t{0x77}));
  debugger_->OnReset();
  EXPECT_EQ(Byte(), 0xcc);
  EXPECT_EQ(Ask("m11000,1"), "77");
}

TEST_F(SoftwareBreakpointTest, AResetWhileOnePassesItLetsAllGo) {
  Ask("Z0,11000,1");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .instruction = true});
  ASSERT_THAT(Settle(), StartsWith("T05thread:2;"));
  Ask("vCont;c");
  // The others wait for the one that passes it.
  EXPECT_EQ(target_.running_, (std::vector<bool>{false, true, false}));
  // It got there, and the guest was reset before anybody heard of it.
  arch_->events_[1] = {.pc = kCode + 1, .step = true};
  EXPECT_FALSE(debugger_->OnDebugExit(1, target_.vcpu(1)));
  debugger_->OnDebugStop(1);
  debugger_->OnReset();
  target_.RunPosted();
  EXPECT_EQ(target_.running_, (std::vector<bool>{true, true, true}));
  EXPECT_FALSE(arch_->armed_[1].single_step);
  EXPECT_EQ(Byte(), 0xcc);
}

TEST_F(SoftwareBreakpointTest, DetachLeavesNothingBehind) {
  Ask("Z0,11000,1");
  Ask("Z1,13000,1");
  EXPECT_EQ(Ask("D;1"), "OK");
  EXPECT_EQ(session_->wish(), GdbSession::Wish::kDetach);
  session_.reset();
  debugger_->Detach(/*stay_stopped=*/false);
  EXPECT_EQ(Byte(), 0x55);
  for (const auto& [vcpu, control] : arch_->armed_) {
    EXPECT_FALSE(control.active()) << vcpu;
  }
  EXPECT_THAT(target_.running_, ElementsAre(true, true, true));
}

TEST_F(SoftwareBreakpointTest, ACrashIsToldAndThenEndsTheMachine) {
  Ask("vCont;c");
  EXPECT_TRUE(debugger_->OnCrash(DebugSignal::kPanic, 2, false));
  EXPECT_THAT(Reply(), StartsWith("T06thread:3;"));
  EXPECT_FALSE(target_.ended_);
  Ask("vCont;c");
  EXPECT_TRUE(target_.ended_);
}

// A limit of time may pass while gdb looks at the guest.
TEST_F(SoftwareBreakpointTest, ACrashOfAStoppedGuestEndsItWhenGdbLeaves) {
  EXPECT_TRUE(debugger_->OnCrash(DebugSignal::kHang, 0, true));
  EXPECT_FALSE(target_.ended_);
  session_.reset();
  debugger_->Detach(/*stay_stopped=*/false);
  EXPECT_TRUE(target_.ended_);
}

// As arm64 does it: the access is still to come, and hits again.
TEST_F(SoftwareBreakpointTest, GoingOnPassesAWatchpointThatStopsBefore) {
  arch_->caps_.watch_before_access = true;
  EXPECT_EQ(Ask("Z2,12000,8"), "OK");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .slot = 0});
  EXPECT_THAT(Settle(), StartsWith("T05thread:2;watch:12000;"));
  Ask("vCont;c");
  EXPECT_TRUE(arch_->armed_[1].single_step);
  EXPECT_THAT(arch_->armed_[1].slots, testing::IsEmpty());
  EXPECT_THAT(arch_->armed_[0].slots, testing::SizeIs(1));
  Exit(1, {.pc = kCode + 4, .step = true});
  EXPECT_FALSE(arch_->armed_[1].single_step);
  EXPECT_THAT(arch_->armed_[1].slots, testing::SizeIs(1));
  EXPECT_EQ(Settle(), "") << "nothing to tell";
}

TEST_F(SoftwareBreakpointTest, AStepPassesAWatchpointThatStopsBefore) {
  arch_->caps_.watch_before_access = true;
  Ask("Z2,12000,8");
  Ask("vCont;s:1");
  Exit(0, {.pc = kCode, .slot = 0});
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;watch:12000;"));
  Ask("vCont;s:1");
  EXPECT_THAT(arch_->armed_[0].slots, testing::IsEmpty());
  Exit(0, {.pc = kCode + 4, .step = true});
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;0:"));
  // From the next instruction on it watches again.
  Ask("vCont;s:1");
  EXPECT_THAT(arch_->armed_[0].slots, testing::SizeIs(1));
}

TEST_F(SoftwareBreakpointTest, AStepIntoTheGuestsHandlerEndsThere) {
  arch_->caps_.handler_at_once = true;
  Ask("vCont;s:1");
  Exit(0, {.pc = kCode, .instruction = true});
  EXPECT_EQ(arch_->given_back_[0], 1);
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;0:"));
}

// A stop never names a vCPU that was not to run: gdb dies of it.
TEST_F(SoftwareBreakpointTest, StopsNameThreadsThatRan) {
  for (const char* action : {"vCont;c:2", "vCont;s:3", "vCont;s:1;c:3"}) {
    Ask(action);
    session_->OnInput("\x03");
    const std::string told = Reply();
    std::string thread = told.substr(told.find("thread:") + 7, 1);
    EXPECT_THAT(std::string(action), HasSubstr(":" + thread)) << told;
  }
}

}  // namespace
}  // namespace kvmlet
