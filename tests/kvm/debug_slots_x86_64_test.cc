// SPDX-License-Identifier: Apache-2.0
// Debug registers on the real KVM: every slot, every length and type of a
// watchpoint, and exceptions that are the guest's own while slots are armed.
#include <gtest/gtest.h>

#include "tests/kvm/debug_x86_64_fixture.h"

extern "C" {
extern const char dg_break0[], dg_break1[], dg_break2[], dg_break3[];
extern const char dg_write1[], dg_write2[], dg_write4[], dg_write8[],
    dg_read8[], dg_beside[], dg_beside_end[];
extern const char dg_icebp[], dg_int3[], dg_own_steps[];
}

namespace kvmlet {
namespace {

using X86BreakTest = X86DebugTest;

TEST_F(X86BreakTest, ABreakpointInstructionIsToldAtItsPlace) {
  if (!caps().software_breakpoints) {
    GTEST_SKIP() << "this KVM does not report breakpoint instructions";
  }
  Start(dg_break0);
  ASSERT_TRUE(debugged_->Insert(BreakpointType::kSoftware, At(dg_break1), 1));
  EXPECT_NE(debugged_->breakpoints().PatchedAt(Gpa{At(dg_break1)}), nullptr);
  ExpectStop(Reason::kSoftware, dg_break1);
  debugged_->RemoveAll();
  ExpectThrough();
}

TEST_F(X86BreakTest, EverySlotStopsAtItsInstruction) {
  if (!caps().execute) GTEST_SKIP() << "this KVM reports no breakpoints";
  Start(dg_break0);
  const std::array<const char*, 4> labels{dg_break0, dg_break1, dg_break2,
                                          dg_break3};
  for (const char* label : labels) {
    ASSERT_TRUE(debugged_->Insert(BreakpointType::kHardware, At(label), 1));
  }
  EXPECT_FALSE(debugged_->Insert(BreakpointType::kHardware, At(dg_through), 1));
  for (const char* label : labels) ExpectStop(Reason::kHardware, label);
  ExpectThrough();
}

TEST_F(X86BreakTest, ADisarmedGuestRunsThrough) {
  if (!caps().execute) GTEST_SKIP() << "this KVM reports no breakpoints";
  Start(dg_break0);
  ASSERT_TRUE(debugged_->Insert(BreakpointType::kHardware, At(dg_break1), 1));
  ExpectStop(Reason::kHardware, dg_break1);
  EXPECT_EQ(debugged_->RunUndebugged().end, End::kDone);
}

// Debug exceptions that the guest causes, with a breakpoint of ours elsewhere:
// the same as without one.
TEST_F(X86BreakTest, TheGuestsOwnTrapsAreItsOwn) {
  for (const char* label : {dg_icebp, dg_own_steps, dg_int3}) {
    Start(label);
    const DebuggedVcpu::Outcome alone = debugged_->RunUndebugged();
    if (alone.end != End::kDone) {
      GTEST_SKIP() << "this KVM does not run such a guest undebugged: "
                   << alone;
    }
    const std::array<uint64_t, 3> expected{Memory(DEBUG_GUEST_TRAPS),
                                           Memory(DEBUG_GUEST_DR6),
                                           Memory(DEBUG_GUEST_INT3S)};
    EXPECT_GT(expected[0] + expected[2], 0u);
    Start(label);
    ASSERT_TRUE(debugged_->Insert(BreakpointType::kHardware, At(dg_break0), 1));
    ExpectThrough();
    const std::array<uint64_t, 3> actual{Memory(DEBUG_GUEST_TRAPS),
                                         Memory(DEBUG_GUEST_DR6),
                                         Memory(DEBUG_GUEST_INT3S)};
    EXPECT_EQ(actual, expected) << label - debug_guest;
    debugged_->RemoveAll();
  }
}

class X86WatchTest : public X86DebugTest {
 protected:
  void SetUp() override {
    X86DebugTest::SetUp();
    if (IsSkipped()) return;
    if (!caps().watch) GTEST_SKIP() << "this KVM reports no watchpoints";
    Start(dg_write1);
  }
  bool Watch(BreakpointType type, uint64_t address, uint64_t length) {
    return debugged_->Insert(type, address, length);
  }
  // A hit is told behind the access.
  void ExpectHits(const std::vector<const char*>& labels) {
    for (const char* label : labels) ExpectStop(Reason::kWatch, label);
    ExpectThrough();
  }
};

TEST_F(X86WatchTest, WritesHitEveryLength) {
  for (const uint64_t length : {1u, 2u, 4u, 8u}) {
    Start(dg_write1);
    ASSERT_TRUE(Watch(BreakpointType::kWrite, DEBUG_GUEST_DATA, length));
    ExpectHits({dg_write2, dg_write4, dg_write8, dg_read8});
    debugged_->RemoveAll();
  }
}

TEST_F(X86WatchTest, EverySlotWatches) {
  for (uint64_t others = 0; others < 4; ++others) {
    Start(dg_write1);
    for (uint64_t i = 0; i < others; ++i) {
      ASSERT_TRUE(Watch(BreakpointType::kWrite, 0x1000 + 8 * i, 8));
    }
    ASSERT_TRUE(Watch(BreakpointType::kWrite, DEBUG_GUEST_DATA, 4));
    ExpectHits({dg_write2, dg_write4, dg_write8, dg_read8});
    debugged_->RemoveAll();
  }
}

TEST_F(X86WatchTest, AccessesHitByReadingToo) {
  ASSERT_TRUE(Watch(BreakpointType::kAccess, DEBUG_GUEST_DATA, 8));
  ExpectHits({dg_write2, dg_write4, dg_write8, dg_read8, dg_beside});
}

TEST_F(X86WatchTest, ReadsAloneAreRefused) {
  EXPECT_FALSE(Watch(BreakpointType::kRead, DEBUG_GUEST_DATA, 8));
}

// At an odd address it takes three slots, and sees just these four bytes.
TEST_F(X86WatchTest, AMisalignedRangeIsWatchedInPieces) {
  ASSERT_TRUE(Watch(BreakpointType::kWrite, DEBUG_GUEST_DATA + 1, 4));
  EXPECT_EQ(debugged_->breakpoints().control().slots.size(), 3u);
  ExpectHits({dg_write4, dg_write8, dg_read8});
}

TEST_F(X86WatchTest, TwoThatOneStoreHitsAreOneStop) {
  ASSERT_TRUE(Watch(BreakpointType::kWrite, DEBUG_GUEST_DATA, 4));
  ASSERT_TRUE(Watch(BreakpointType::kWrite, DEBUG_GUEST_DATA + 4, 4));
  ExpectHits({dg_write2, dg_write4, dg_write8, dg_read8});
}

TEST_F(X86WatchTest, ABreakpointRightBehindTheStoreComesAfterIt) {
  ASSERT_TRUE(Watch(BreakpointType::kWrite, DEBUG_GUEST_DATA + 7, 1));
  ASSERT_TRUE(debugged_->Insert(BreakpointType::kHardware, At(dg_read8), 1));
  ExpectHits({dg_read8});
}

TEST_F(X86WatchTest, AStepThatStoresIsAHit) {
  ASSERT_TRUE(Watch(BreakpointType::kWrite, DEBUG_GUEST_DATA, 1));
  const DebuggedVcpu::Outcome outcome = debugged_->Step();
  ASSERT_EQ(outcome.end, End::kStop) << outcome;
  EXPECT_EQ(outcome.stop.reason, Reason::kWatch);
  EXPECT_EQ(outcome.stop.pc, At(dg_write2));
}

TEST_F(X86WatchTest, TheNeighbourIsNotWatched) {
  ASSERT_TRUE(Watch(BreakpointType::kAccess, DEBUG_GUEST_DATA + 8, 1));
  ExpectHits({dg_beside_end});
}

}  // namespace
}  // namespace kvmlet
