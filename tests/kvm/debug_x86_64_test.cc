// SPDX-License-Identifier: Apache-2.0
// Steps, breakpoints and watchpoints on the real KVM: what the kernel's
// debug_regs selftest asserts, and the instructions that a trap flag does not
// survive. A host whose KVM cannot do a thing skips it.
#include <gtest/gtest.h>

#include "tests/kvm/debug_x86_64_fixture.h"

extern "C" {
extern const char dg_pending[], dg_pending0[], dg_pending1[], dg_pending2[],
    dg_pending3[], dg_pending4[], dg_pending5[], dg_pending6[];
extern const char dg_plain0[], dg_plain1[], dg_plain2[], dg_plain3[],
    dg_plain4[], dg_plain5[];
extern const char dg_device[], dg_device0[], dg_device1[], dg_device2[],
    dg_device3[];
extern const char dg_repeat[], dg_repeat0[], dg_repeat1[];
extern const char dg_flags0[], dg_flags1[], dg_flags2[], dg_flags3[];
extern const char dg_return[], dg_return0[], dg_return1[], dg_return2[];
extern const char dg_call[], dg_call0[], dg_user0[], dg_user1[], dg_entry1[];
extern const char dg_interrupt0[], dg_interrupt1[];
extern const char dg_int3[], dg_int3_end[];
extern const char dg_halt0[], dg_halt1[];
extern const char dg_shadow[], dg_shadow0[], dg_shadow1[], dg_shadow2[],
    dg_shadow3[];
extern const char dg_fault[], dg_fault0[], dg_fault1[];
extern const char dg_compat0[], dg_compat1[], dg_compat2[];
extern const char dg_real0[], dg_real1[], dg_real2[], dg_real3[];
}

namespace kvmlet {
namespace {

class X86StepTest : public X86DebugTest {
 protected:
  void SetUp() override {
    X86DebugTest::SetUp();
    if (IsSkipped()) return;
    if (!caps().single_step || !caps().execute) {
      GTEST_SKIP() << "this KVM reports no steps or no breakpoints";
    }
  }
  static constexpr uint64_t kTrapFlag = 0x100;
};

TEST_F(X86StepTest, APendingInterruptIsNeverTaken) {
  if (!caps().block_interrupts) {
    GTEST_SKIP() << "this KVM cannot keep interrupts out of steps";
  }
  Start(dg_pending);
  RunTo(dg_pending0);
  ExpectSteps({dg_pending1, dg_pending2, dg_pending3, dg_pending4, dg_pending5,
               dg_pending6});
  debugged_->Disarm();
  EXPECT_EQ(debugged_->RunUndebugged().end, End::kDone);
}

TEST_F(X86StepTest, PortsAndExitsInTheKernelAreOneStepEach) {
  Start(dg_plain0);
  ExpectSteps({dg_plain1, dg_plain2, dg_plain3, dg_plain4, dg_plain5});
  ExpectThrough();
}

TEST_F(X86StepTest, AnAccessToADeviceIsOneStep) {
  Start(dg_device);
  ExpectSteps({dg_device0, dg_device1, dg_device2, dg_device3});
  ExpectThrough();
}

TEST_F(X86StepTest, ARepeatedMoveStaysUntilItIsDone) {
  Start(dg_repeat);
  RunTo(dg_repeat0);
  int steps = 0;
  uint64_t pc = At(dg_repeat0);
  while (pc == At(dg_repeat0)) {
    ASSERT_LT(steps++, 4) << "a turn a byte, and one to see the end";
    const DebuggedVcpu::Outcome outcome = debugged_->Step();
    ASSERT_EQ(outcome.end, End::kStop) << outcome;
    pc = outcome.stop.pc;
  }
  EXPECT_EQ(pc, At(dg_repeat1));
  EXPECT_EQ(Memory(DEBUG_GUEST_DATA), Memory(DEBUG_GUEST_CODE) & 0xffffff);
}

TEST_F(X86StepTest, PushedFlagsDoNotShowTheStep) {
  Start(dg_flags0);
  ExpectSteps({dg_flags1});
  EXPECT_EQ(Memory(Registers().rsp) & kTrapFlag, 0u);
  ExpectSteps({dg_flags2, dg_flags3});
  ExpectThrough();
  EXPECT_EQ(Memory(DEBUG_GUEST_TRAPS), 0u);
}

TEST_F(X86StepTest, AReturnFromAnInterruptEndsWhereItLeads) {
  StartIfItRuns(dg_return);
  if (IsSkipped()) return;
  RunTo(dg_return0);
  ExpectSteps({dg_return1, dg_return2});
  ExpectThrough();
}

TEST_F(X86StepTest, ASystemCallAndItsReturnEndWhereTheyLead) {
  StartIfItRuns(dg_call);
  if (IsSkipped()) return;
  RunTo(dg_call0);
  ExpectSteps({dg_user0, dg_user1, dg_entry0});
  EXPECT_EQ(Registers().r11 & kTrapFlag, 0u);
  ExpectSteps({dg_entry1});
  ExpectThrough();
}

TEST_F(X86StepTest, ASoftwareInterruptEndsInItsHandler) {
  StartIfItRuns(dg_interrupt0);
  if (IsSkipped()) return;
  ExpectSteps({dg_on_interrupt});
  // The frame: instruction pointer, code segment, flags.
  EXPECT_EQ(Memory(Registers().rsp), At(dg_interrupt1));
  EXPECT_EQ(Memory(Registers().rsp + 16) & kTrapFlag, 0u);
  ExpectThrough();
  EXPECT_EQ(Memory(DEBUG_GUEST_INTERRUPTS), 1u);
}

TEST_F(X86StepTest, TheGuestsOwnBreakpointEndsInItsHandler) {
  StartIfItRuns(dg_int3);
  if (IsSkipped()) return;
  ExpectSteps({dg_on_int3});
  EXPECT_EQ(Memory(Registers().rsp), At(dg_int3_end));
  EXPECT_EQ(Memory(Registers().rsp + 16) & kTrapFlag, 0u);
  ExpectThrough();
  EXPECT_EQ(Memory(DEBUG_GUEST_INT3S), 1u);
}

TEST_F(X86StepTest, AHaltIsOneStep) {
  Start(dg_halt0);
  ExpectSteps({dg_halt1});
}

// Natively the load of SS keeps the trap away for one instruction.
TEST_F(X86StepTest, ALoadOfTheStackSegmentLosesNoMoreThanItsShadow) {
  StartIfItRuns(dg_shadow);
  if (IsSkipped()) return;
  RunTo(dg_shadow0);
  const DebuggedVcpu::Outcome outcome = debugged_->Step();
  ASSERT_EQ(outcome.end, End::kStop) << outcome;
  if (outcome.stop.pc != At(dg_shadow2)) {
    ASSERT_EQ(outcome.stop.pc, At(dg_shadow1));
    ExpectSteps({dg_shadow2});
  }
  ExpectSteps({dg_shadow3});
  ExpectThrough();
}

TEST_F(X86StepTest, AFaultThatIsHandledEndsBehindTheInstruction) {
  StartIfItRuns(dg_fault);
  if (IsSkipped()) return;
  RunTo(dg_fault0);
  ExpectSteps({dg_fault1});
  EXPECT_EQ(Registers().rbx, uint64_t{DEBUG_GUEST_DATA});
  ExpectThrough();
}

TEST_F(X86StepTest, CompatibilityMode) {
  StartIfItRuns(dg_compat0, Mode::kCompat);
  if (IsSkipped()) return;
  ExpectSteps({dg_compat1, dg_compat2, dg_on_interrupt});
  ExpectThrough();
  EXPECT_EQ(Registers().rax, 2u);
}

TEST_F(X86StepTest, StepsInRealModeAreToldByLinearAddresses) {
  Start(dg_real0, Mode::kReal);
  for (const char* label : {dg_real1, dg_real2, dg_real3, dg_real0}) {
    const DebuggedVcpu::Outcome outcome = debugged_->Step();
    ASSERT_EQ(outcome.end, End::kStop) << outcome;
    EXPECT_EQ(outcome.stop.pc, RealAt(label));
  }
}

TEST_F(X86StepTest, BreakpointsInRealModeAreAtLinearAddresses) {
  Start(dg_real0, Mode::kReal);
  ASSERT_TRUE(
      debugged_->Insert(BreakpointType::kHardware, RealAt(dg_real2), 1));
  const DebuggedVcpu::Outcome outcome = debugged_->Continue();
  ASSERT_EQ(outcome.end, End::kStop) << outcome;
  EXPECT_EQ(outcome.stop.pc, RealAt(dg_real2));
  EXPECT_EQ(Registers().rax & 0xffff, 2u);
}

}  // namespace
}  // namespace kvmlet
