// SPDX-License-Identifier: Apache-2.0
#include "vmm/bus/address_range.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace kvmlet {
namespace {

TEST(AddressRangeTest, AnEmptyRangeIsNone) {
  EXPECT_EQ(AddressRange::Make(0x1000, 0), std::nullopt);
}

TEST(AddressRangeTest, TheLastByteMayBeTheHighest) {
  const auto range = AddressRange::Make(UINT64_MAX - 15, 16);
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->last(), UINT64_MAX);
  EXPECT_TRUE(range->Contains(UINT64_MAX, 1));
  EXPECT_FALSE(range->Contains(UINT64_MAX, 2));
}

TEST(AddressRangeTest, ARangeThatWrapsIsNone) {
  EXPECT_EQ(AddressRange::Make(UINT64_MAX - 15, 17), std::nullopt);
  EXPECT_EQ(AddressRange::Make(1, UINT64_MAX), AddressRange::Make(1, ~0ull));
  EXPECT_EQ(AddressRange::Make(2, UINT64_MAX), std::nullopt);
}

TEST(AddressRangeTest, ContainsWholeAccessesOnly) {
  const AddressRange range = *AddressRange::Make(0x100, 0x10);
  EXPECT_TRUE(range.Contains(0x100, 0x10));
  EXPECT_TRUE(range.Contains(0x10f, 1));
  EXPECT_FALSE(range.Contains(0x10f, 2));
  EXPECT_FALSE(range.Contains(0xff, 2));
  EXPECT_FALSE(range.Contains(0x110, 1));
  EXPECT_FALSE(range.Contains(0x108, UINT64_MAX));
}

TEST(AddressRangeTest, NeighboursDoNotOverlap) {
  const AddressRange range = *AddressRange::Make(0x100, 0x10);
  EXPECT_FALSE(range.Overlaps(*AddressRange::Make(0x110, 1)));
  EXPECT_FALSE(range.Overlaps(*AddressRange::Make(0xf0, 0x10)));
  EXPECT_TRUE(range.Overlaps(*AddressRange::Make(0x10f, 1)));
  EXPECT_TRUE(range.Overlaps(*AddressRange::Make(0, 0x1000)));
  EXPECT_TRUE(range.Overlaps(*AddressRange::Make(0x104, 1)));
}

}  // namespace
}  // namespace kvmlet
