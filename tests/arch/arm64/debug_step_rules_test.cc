// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/debug_step_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvmlet::arch::arm64 {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kPc = 0xffff800080010000;
constexpr uint64_t kVbar = 0xffff800080020000;
constexpr uint64_t kEl1h = 5;
constexpr uint64_t kMasked = kEl1h | kPstateInterrupts;
constexpr uint32_t kNop = 0xd503201f;
constexpr uint32_t kMaskAll = 0xd50343df;    // msr daifset, #3
constexpr uint32_t kUnmaskI = 0xd50342ff;    // msr daifclr, #2
constexpr uint32_t kWriteDaif = 0xd51b4223;  // msr daif, x3
constexpr uint32_t kReadDaif = 0xd53b4223;   // mrs x3, daif
constexpr uint32_t kEret = 0xd69f03e0;
constexpr uint32_t kSvc = 0xd4000001;
// A compare-and-exchange loop:
//   ldxr w1, [x0]; cmp w1, w2; b.ne .+12; stxr w3, w4, [x0]; cbnz w3, .-16
constexpr uint32_t kExchange[] = {0x885f7c01, 0x6b02003f, 0x54000061,
                                  0x88037c04, 0x35ffff83};

StepRepair After(uint32_t instruction, uint64_t own, uint64_t pstate) {
  return RepairStep(
      {.pc = kPc, .pstate = own, .instruction = instruction},
      {.pc = kPc + 4, .pstate = pstate, .spsr = 0, .vbar = kVbar});
}

TEST(StepRulesTest, TheMasksComeBack) {
  EXPECT_EQ(After(kNop, kEl1h, kMasked).pstate, kEl1h);
  EXPECT_EQ(After(kNop, kMasked, kMasked).pstate, kMasked);
  EXPECT_EQ(After(kNop, kEl1h | kPstateF, kMasked).pstate, kEl1h | kPstateF);
}

TEST(StepRulesTest, ABrokenOffStepPutsThemBackToo) {
  const StepRepair repair =
      RepairStep({.pc = kPc, .pstate = kEl1h, .instruction = kMaskAll},
                 {.pc = kPc, .pstate = kMasked, .spsr = 0, .vbar = kVbar});
  EXPECT_EQ(repair.pstate, kEl1h);
}

TEST(StepRulesTest, WhatTheGuestDoesToItsMasksStays) {
  EXPECT_EQ(After(kMaskAll, kEl1h, kMasked).pstate, kMasked);
  // Only I is cleared; F was clear before, and is ours.
  EXPECT_EQ(After(kUnmaskI, kEl1h | kPstateI, kEl1h | kPstateF).pstate, kEl1h);
  EXPECT_EQ(After(kUnmaskI, kMasked, kEl1h | kPstateF).pstate,
            kEl1h | kPstateF);
  EXPECT_FALSE(After(kWriteDaif, kEl1h, kMasked).pstate);
  EXPECT_FALSE(After(kEret, kMasked, 0).pstate);
}

TEST(StepRulesTest, AReaderOfTheMasksSeesItsOwn) {
  const StepRepair repair = After(kReadDaif, kEl1h, kMasked);
  EXPECT_EQ(repair.pstate, kEl1h);
  EXPECT_EQ(repair.reader, 3u);
  EXPECT_EQ(OwnMasks(0x3c0, kEl1h), 0x300u);
  EXPECT_FALSE(After(kReadDaif | 31, kEl1h, kMasked).reader) << "xzr";
}

TEST(StepRulesTest, AnExceptionSavesTheGuestsMasks) {
  const StepRepair repair =
      RepairStep({.pc = kPc, .pstate = 0, .instruction = kSvc},
                 {.pc = kVbar + 0x400,
                  .pstate = 0x3c5,
                  .spsr = kPstateInterrupts | kPstateStep | 1ull << 30,
                  .vbar = kVbar});
  EXPECT_FALSE(repair.pstate) << "the handler's own";
  EXPECT_EQ(repair.spsr, 1ull << 30);
}

TEST(StepRulesTest, CodeBetweenTheVectorsIsNoException) {
  const StepRepair repair = RepairStep(
      {.pc = kVbar + 0x404, .pstate = kMasked, .instruction = kNop},
      {.pc = kVbar + 0x408, .pstate = kMasked, .spsr = 0, .vbar = kVbar});
  EXPECT_EQ(repair.pstate, kMasked);
  const StepRepair into = RepairStep(
      {.pc = kVbar + 0x47c, .pstate = kEl1h, .instruction = kNop},
      {.pc = kVbar + 0x480, .pstate = kMasked, .spsr = 0, .vbar = kVbar});
  EXPECT_EQ(into.pstate, kEl1h) << "one after the other";
}

TEST(StepRulesTest, AnExclusiveSequenceIsOneStep) {
  EXPECT_TRUE(StartsExclusive(kExchange[0]));
  // Its end, and where the comparison leaves it.
  EXPECT_THAT(ExclusiveLandings(kPc, kExchange),
              ElementsAre(kPc + 16, kPc + 20));
}

TEST(StepRulesTest, OtherCodeIsNoExclusiveSequence) {
  EXPECT_FALSE(StartsExclusive(kNop));
  EXPECT_FALSE(StartsExclusive(0x88dffc20)) << "ldar";
  EXPECT_FALSE(StartsExclusive(0x08607c82)) << "casp";
  EXPECT_TRUE(StartsExclusive(0xc85ffc20)) << "ldaxr";
  EXPECT_TRUE(StartsExclusive(0xc87f0440)) << "ldxp";
  EXPECT_THAT(ExclusiveLandings(kPc, {}), IsEmpty());
  EXPECT_THAT(ExclusiveLandings(kPc, std::span(kExchange).first(3)), IsEmpty())
      << "no end in sight";
  const uint32_t called[] = {kExchange[0], 0x94000010, kExchange[3]};
  EXPECT_THAT(ExclusiveLandings(kPc, called), IsEmpty()) << "bl";
  std::vector<uint32_t> endless(100, kNop);
  endless[0] = kExchange[0];
  endless[99] = kExchange[3];
  EXPECT_THAT(ExclusiveLandings(kPc, endless), IsEmpty());
}

TEST(StepRulesTest, ExceptionsEnterTheVectorOfWhereTheyComeFrom) {
  constexpr uint64_t kBrk = 0xf2000001;
  const auto vector = [](uint64_t pstate) {
    return EnterException({.pc = kPc, .pstate = pstate, .vbar = kVbar}, kBrk)
               .pc -
           kVbar;
  };
  EXPECT_EQ(vector(5), 0x200u);
  EXPECT_EQ(vector(4), 0x000u);
  EXPECT_EQ(vector(0), 0x400u);
  EXPECT_EQ(vector(0x10), 0x600u);
}

TEST(StepRulesTest, ExceptionsSaveTheStateAndMask) {
  constexpr uint64_t kFlags = 6ull << 28;
  constexpr uint64_t kDirt = kFlags | 1 << 20 | 1 << 23 | 3 << 10;
  const ExceptionState after = EnterException(
      {.pc = kPc, .pstate = kDirt, .vbar = kVbar, .sctlr = 1 << 23},
      0xf2000001);
  EXPECT_EQ(after.elr, kPc);
  EXPECT_EQ(after.spsr, kDirt);
  EXPECT_EQ(after.esr, 0xf2000001u);
  EXPECT_EQ(after.pstate, kFlags | 0x3c5u);
  // PAN is set where SCTLR_EL1.SPAN is clear.
  EXPECT_EQ(EnterException({.pc = kPc, .vbar = kVbar}, 0).pstate,
            0x3c5u | 1 << 22);
}

}  // namespace
}  // namespace kvmlet::arch::arm64
