// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/address_space.h"

#include <gtest/gtest.h>

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kGiB = 1ull << 30;

TEST(Arm64AddressSpaceTest, UsualGuestsHave40Bits) {
  EXPECT_EQ(AddressBits(kGiB, 52), 40u);
  EXPECT_EQ(AddressBits(511 * kGiB, 52), 40u);
}

TEST(Arm64AddressSpaceTest, MoreMemoryTakesMoreBits) {
  EXPECT_EQ(AddressBits(511 * kGiB + 1, 52), 41u);
  EXPECT_EQ(AddressBits(4096 * kGiB, 52), 44u);
}

TEST(Arm64AddressSpaceTest, ASmallHostGetsWhatItHas) {
  EXPECT_EQ(AddressBits(kGiB, 36), 36u);
  EXPECT_EQ(AddressBits(31 * kGiB, 36), 36u);
  EXPECT_EQ(AddressBits(31 * kGiB + 1, 36), std::nullopt);
  EXPECT_EQ(LargestRam(36), 31 * kGiB);
}

TEST(Arm64AddressSpaceTest, NoGuestHasMoreThan48Bits) {
  EXPECT_EQ(AddressBits(LargestRam(52), 52), 48u);
  EXPECT_EQ(AddressBits(LargestRam(52) + 1, 52), std::nullopt);
}

}  // namespace
}  // namespace kvmlet::arch::arm64
