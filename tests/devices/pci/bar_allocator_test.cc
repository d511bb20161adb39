// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/bar_allocator.h"

#include <gtest/gtest.h>

namespace kvmlet::pci {
namespace {

BarAllocator Make(uint64_t base, uint64_t size) {
  return BarAllocator(*AddressRange::Make(base, size));
}

TEST(BarAllocatorTest, AlignsToTheSize) {
  BarAllocator space = Make(0x1000, 0x100000);
  EXPECT_EQ(space.Allocate(0x1000), 0x1000u);
  EXPECT_EQ(space.Allocate(0x8000), 0x8000u);
  EXPECT_EQ(space.Allocate(0x1000), 0x2000u);
}

TEST(BarAllocatorTest, SmallBarsDoNotShareAPage) {
  BarAllocator space = Make(0x1000, 0x10000);
  EXPECT_EQ(space.Allocate(16), 0x1000u);
  EXPECT_EQ(space.Allocate(16), 0x2000u);
}

TEST(BarAllocatorTest, FillsTheWindowToItsLastByte) {
  BarAllocator space = Make(0x4000, 0x2000);
  EXPECT_TRUE(space.Allocate(0x1000));
  EXPECT_TRUE(space.Allocate(0x1000));
  EXPECT_FALSE(space.Allocate(0x1000));
}

TEST(BarAllocatorTest, RefusesWhatAlignmentPushesOut) {
  BarAllocator space = Make(0x1000, 0x4000);
  EXPECT_FALSE(space.Allocate(0x4000));
  EXPECT_FALSE(space.Allocate(uint64_t{1} << 63));
}

TEST(BarAllocatorTest, WorksUpToTheEndOfTheAddressSpace) {
  BarAllocator space = Make(~uint64_t{0} - 0x1fff, 0x2000);
  EXPECT_TRUE(space.Allocate(0x2000));
  EXPECT_FALSE(space.Allocate(0x1000));
}

TEST(BarAllocatorTest, UsesAFreedPieceAgain) {
  BarAllocator space = Make(0x1000, 0x2000);
  EXPECT_EQ(space.Allocate(0x1000), 0x1000u);
  EXPECT_EQ(space.Allocate(0x1000), 0x2000u);
  space.Free(0x1000);
  EXPECT_EQ(space.Allocate(0x1000), 0x1000u);
}

}  // namespace
}  // namespace kvmlet::pci
