// SPDX-License-Identifier: Apache-2.0
// Steps, breakpoints and watchpoints on the real KVM: the ground of the
// kernel's debug-exceptions selftest, seen from the host. A host whose KVM
// cannot do a thing skips it.
#include <gtest/gtest.h>

#include "tests/kvm/debug_arm64_fixture.h"

extern "C" {
extern const char dg_steps0[], dg_steps1[], dg_steps2[], dg_steps3[];
extern const char dg_device0[], dg_device1[], dg_device2[], dg_device3[];
extern const char dg_breaks[], dg_brk[], dg_brk_end[];
extern const char dg_call[], dg_call_end[], dg_synchronous[];
extern const char dg_trapped[], dg_trapped_end[];
extern const char dg_exclusive[], dg_exclusive_end[], dg_exclusive_done[];
extern const char dg_write1[], dg_write2[], dg_write4[], dg_write8[],
    dg_read8[], dg_bytes[];
extern const char dg_range1[], dg_range2[], dg_range3[], dg_range0[];
}

namespace kvmlet {
namespace {

class Arm64StepTest : public Arm64DebugTest {
 protected:
  void SetUp() override {
    Arm64DebugTest::SetUp();
    if (IsSkipped()) return;
    if (!caps().single_step) GTEST_SKIP() << "this KVM reports no steps";
  }
};

TEST_F(Arm64StepTest, EveryInstructionIsOne) {
  Start(dg_steps0);
  ExpectSteps({dg_steps1, dg_steps2, dg_steps3});
  EXPECT_EQ(X(2), 2u);
  ExpectThrough();
}

TEST_F(Arm64StepTest, AnAccessToADeviceIsOneStep) {
  Start(dg_device0);
  ExpectSteps({dg_device1, dg_device2, dg_device3});
  ExpectThrough();
}

// The guest compares what it wrote with what it reads back.
TEST_F(Arm64StepTest, TenThousandStepsOverTrappedRegisters) {
  constexpr int kSteps = 10'000;
  Start(dg_trapped);
  uint64_t pc = At(dg_trapped);
  for (int i = 0; i < kSteps; ++i) {
    pc = pc == At(dg_trapped_end) ? At(dg_trapped) : pc + 4;
    ExpectStep(pc);
    if (HasFatalFailure()) FAIL() << "step " << i;
    debugged_->Disarm();
  }
  EXPECT_EQ(X(2), 8u * ((kSteps + 1) / 10));
}

TEST_F(Arm64StepTest, AnExclusiveSequenceIsOneStepThatSucceeds) {
  if (!caps().execute) GTEST_SKIP() << "this KVM reports no breakpoints";
  Start(dg_exclusive);
  constexpr int kPatience = 100;  // the store may fail for its own reasons
  for (int i = 0; i < kPatience && X(2) == 0; ++i) {
    ExpectSteps({dg_exclusive_end});
    if (X(3) == 0) break;
    ExpectSteps({dg_exclusive});
  }
  EXPECT_EQ(X(3), 0u);
  ExpectSteps({dg_exclusive_done});
  EXPECT_EQ(*memory_->Load<uint32_t>(Gpa{kData}), 1u);
  ExpectThrough();
}

TEST_F(Arm64StepTest, ASystemCallEndsInItsVector) {
  Start(dg_call);
  ExpectSteps({dg_synchronous});
  ExpectThrough();
  EXPECT_EQ(X(21), At(dg_call_end));
  EXPECT_EQ(X(20) & 0xffff, 3u);
}

class Arm64BreakTest : public Arm64DebugTest {
 protected:
  bool Break(uint64_t address) {
    return debugged_->Insert(BreakpointType::kHardware, address, 4);
  }
};

TEST_F(Arm64BreakTest, ABreakpointInstructionIsToldAtItsPlace) {
  if (!caps().software_breakpoints) {
    GTEST_SKIP() << "this KVM does not report breakpoint instructions";
  }
  Start(dg_steps0);
  ASSERT_TRUE(debugged_->Insert(BreakpointType::kSoftware, At(dg_steps2), 4));
  EXPECT_NE(debugged_->breakpoints().PatchedAt(Gpa{At(dg_steps2)}), nullptr);
  ExpectStop(Reason::kSoftware, At(dg_steps2));
  debugged_->RemoveAll();
  ExpectThrough();
  EXPECT_EQ(X(2), 2u);
}

TEST_F(Arm64BreakTest, EverySlotStopsAtItsInstruction) {
  if (!caps().execute) GTEST_SKIP() << "this KVM reports no breakpoints";
  Start(dg_breaks);
  const uint32_t count = caps().execute_slots;
  ASSERT_LE(count, 16u);
  for (uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(Break(At(dg_breaks) + 4 * i)) << i;
  }
  EXPECT_FALSE(Break(At(dg_call)));
  for (uint32_t i = 0; i < count; ++i) {
    ExpectStop(Reason::kHardware, At(dg_breaks) + 4 * i);
  }
  ExpectThrough();
}

TEST_F(Arm64BreakTest, OneOnASystemCallComesBeforeIt) {
  if (!caps().execute) GTEST_SKIP() << "this KVM reports no breakpoints";
  Start(dg_call);
  ASSERT_TRUE(Break(At(dg_call)));
  ExpectStop(Reason::kHardware, At(dg_call));
  EXPECT_EQ(X(23), 0u);
  ExpectThrough();
  EXPECT_EQ(X(23), 1u);
  EXPECT_EQ(X(21), At(dg_call_end));
}

// With a breakpoint of ours at the same place both happen, elsewhere only its.
TEST_F(Arm64BreakTest, TheGuestsOwnBreakpointInstructionIsItsOwn) {
  if (!caps().execute) GTEST_SKIP() << "this KVM reports no breakpoints";
  for (const char* label : {dg_steps0, dg_brk}) {
    Start(dg_brk);
    ASSERT_TRUE(Break(At(label)));
    if (label == dg_brk) ExpectStop(Reason::kHardware, At(dg_brk));
    ExpectThrough();
    EXPECT_EQ(X(23), 1u);
    EXPECT_EQ(X(21), At(dg_brk));
    EXPECT_EQ(X(20) & 0xffff, 7u);
    debugged_->RemoveAll();
  }
  EXPECT_EQ(debugged_->guests_own(), 2u);
}

class Arm64WatchTest : public Arm64DebugTest {
 protected:
  void SetUp() override {
    Arm64DebugTest::SetUp();
    if (IsSkipped()) return;
    if (!caps().watch) GTEST_SKIP() << "this KVM reports no watchpoints";
  }
  bool Watch(BreakpointType type, uint64_t address, uint64_t length) {
    return debugged_->Insert(type, address, length);
  }
  // A hit is told before the access.
  void ExpectHits(const std::vector<uint64_t>& places) {
    for (const uint64_t pc : places) ExpectStop(Reason::kWatch, pc);
    ExpectThrough();
  }
};

TEST_F(Arm64WatchTest, EveryLengthAndType) {
  const std::vector<uint64_t> writes{At(dg_write1), At(dg_write2),
                                     At(dg_write4), At(dg_write8)};
  std::vector<uint64_t> accesses = writes;
  accesses.push_back(At(dg_read8));
  for (const uint64_t length : {1u, 2u, 4u, 8u}) {
    const auto expect = [&](BreakpointType type,
                            const std::vector<uint64_t>& places) {
      Start(dg_write1);
      ASSERT_TRUE(Watch(type, kData, length)) << length;
      ExpectHits(places);
      debugged_->RemoveAll();
    };
    expect(BreakpointType::kWrite, writes);
    expect(BreakpointType::kRead, {At(dg_read8)});
    expect(BreakpointType::kAccess, accesses);
  }
}

TEST_F(Arm64WatchTest, EverySlotWatches) {
  for (uint32_t others = 0; others < caps().watch_slots; ++others) {
    Start(dg_write1);
    for (uint32_t i = 0; i < others; ++i) {
      ASSERT_TRUE(Watch(BreakpointType::kWrite, kMemory + 8 * i, 8));
    }
    ASSERT_TRUE(Watch(BreakpointType::kRead, kData, 4));
    ExpectHits({At(dg_read8)});
    debugged_->RemoveAll();
  }
}

TEST_F(Arm64WatchTest, ThreeBytesAtAnOddOffset) {
  Start(dg_bytes);
  ASSERT_TRUE(Watch(BreakpointType::kWrite, kData + 1, 3));
  // The store to the data itself is the fourth.
  const uint64_t first = At(dg_bytes) + 4 * 4;
  ExpectHits({first, first + 4, first + 8});
}

TEST_F(Arm64WatchTest, ThreeBytesAcrossAWordAreWatchedInPieces) {
  Start(dg_bytes);
  ASSERT_TRUE(Watch(BreakpointType::kWrite, kData - 1, 3));
  EXPECT_EQ(debugged_->breakpoints().control().slots.size(), 2u);
  const uint64_t first = At(dg_bytes) + 4 * 2;
  ExpectHits({first, first + 4, first + 8});
}

TEST_F(Arm64WatchTest, SixtyFourBytesAreOneSlot) {
  Start(dg_range0);
  ASSERT_TRUE(Watch(BreakpointType::kWrite, kData, 64));
  EXPECT_EQ(debugged_->breakpoints().control().slots.size(), 1u);
  ExpectHits({At(dg_range1), At(dg_range2), At(dg_range3)});
}

TEST_F(Arm64WatchTest, AStepOntoAStoreIsTheHit) {
  Start(dg_write1);
  ASSERT_TRUE(Watch(BreakpointType::kWrite, kData, 2));
  ExpectStop(Reason::kWatch, At(dg_write1));
  // From there the step makes the access.
  const DebuggedVcpu::Outcome outcome = debugged_->Step();
  ASSERT_EQ(outcome.end, End::kStop) << outcome;
  EXPECT_EQ(outcome.stop.pc, At(dg_write2));
  EXPECT_EQ(outcome.stop.reason, Reason::kStep);
}

}  // namespace
}  // namespace kvmlet
