// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/debug_slots.h"

#include <gtest/gtest.h>

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kKernel = 0xffff800080010000;

std::vector<DebugSlot> Watch(uint64_t address, uint64_t length) {
  return CutSlots(BreakKind::kWrite, address, length, 4);
}

TEST(Arm64SlotsTest, BreakpointOfOneInstruction) {
  const DebugRegisters registers = EncodeSlot(
      {.kind = BreakKind::kExecute, .address = kKernel + 4, .length = 4});
  // E, EL1 and EL0, the whole instruction.
  EXPECT_EQ(registers.control, 0x1e7u);
  EXPECT_EQ(registers.value, kKernel + 4);
  EXPECT_TRUE(CutSlots(BreakKind::kExecute, kKernel + 2, 4, 4).empty());
}

TEST(Arm64SlotsTest, AddressesAreSignExtended) {
  const DebugRegisters registers = EncodeSlot({.kind = BreakKind::kExecute,
                                               .address = 0x00f0000012345678,
                                               .length = 4});
  EXPECT_EQ(registers.value, 0xfff0000012345678u);
}

TEST(Arm64SlotsTest, WatchpointsSelectBytes) {
  const std::vector<DebugSlot> slots = Watch(kKernel + 3, 4);
  ASSERT_EQ(slots.size(), 1u);
  const DebugRegisters registers = EncodeSlot(slots[0]);
  EXPECT_EQ(registers.value, kKernel);
  // E, EL1 and EL0, stores, bytes 3 to 6.
  EXPECT_EQ(registers.control, 1u | 3u << 1 | 2u << 3 | 0x78u << 5);
}

TEST(Arm64SlotsTest, WhatStraddlesAWindowTakesTwo) {
  EXPECT_EQ(
      Watch(kKernel + 6, 4),
      (std::vector<DebugSlot>{
          {.kind = BreakKind::kWrite, .address = kKernel + 6, .length = 2},
          {.kind = BreakKind::kWrite, .address = kKernel + 8, .length = 2}}));
}

TEST(Arm64SlotsTest, LargeRangesUseTheMask) {
  const std::vector<DebugSlot> slots = Watch(kKernel, 64);
  ASSERT_EQ(slots.size(), 1u);
  const DebugRegisters registers = EncodeSlot(slots[0]);
  EXPECT_EQ(registers.value, kKernel);
  EXPECT_EQ(registers.control, 1u | 3u << 1 | 2u << 3 | 0xffu << 5 | 6u << 24);
  // 16 aligned bytes, then 8.
  EXPECT_EQ(Watch(kKernel, 24).size(), 2u);
  EXPECT_EQ(Watch(0, 1ull << 31).size(), 1u);
}

TEST(Arm64SlotsTest, WhatNoSlotsCanWatchIsRefused) {
  EXPECT_TRUE(Watch(kKernel, 0).empty());
  EXPECT_TRUE(Watch(~0ull - 2, 8).empty()) << "around the end";
  EXPECT_TRUE(Watch(kKernel + 1, 4096).empty()) << "more than four";
  EXPECT_TRUE(Watch(kKernel, ~0ull).empty());
}

TEST(Arm64SlotsTest, KindsOfAccess) {
  for (const auto& [kind, bits] :
       {std::pair{BreakKind::kRead, 1u}, std::pair{BreakKind::kWrite, 2u},
        std::pair{BreakKind::kAccess, 3u}}) {
    const DebugRegisters registers =
        EncodeSlot({.kind = kind, .address = kKernel, .length = 1});
    EXPECT_EQ(registers.control >> 3 & 3, bits);
  }
}

TEST(Arm64SlotsTest, AHitBelongsToTheSlotItIsIn) {
  const std::vector<DebugSlot> slots{
      {.kind = BreakKind::kExecute, .address = 0x1000, .length = 4},
      {.kind = BreakKind::kWrite, .address = 0x2008, .length = 4},
      {.kind = BreakKind::kWrite, .address = 0x3000, .length = 64}};
  EXPECT_EQ(WatchedBy(slots, 0x2009), 1u);
  EXPECT_EQ(WatchedBy(slots, 0x303f), 2u);
  // A 16-byte store that began below it.
  EXPECT_EQ(WatchedBy(slots, 0x2000), 1u);
  EXPECT_EQ(WatchedBy(slots, 0x200c), std::nullopt);
  EXPECT_EQ(WatchedBy(slots, 0x1000), std::nullopt);
}

}  // namespace
}  // namespace kvmlet::arch::arm64
