// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/boot_writer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"

namespace kvmlet::arch::x86_64 {
namespace {

using ::testing::HasSubstr;

class BootWriterTest : public ::testing::Test {
 protected:
  GuestMemory memory_ = MakeRam();
  std::vector<E820Entry> map_ = MakeMap();
  BootWriter writer_{memory_, map_};
};

TEST_F(BootWriterTest, FreeRamCanBeClaimedUpToItsEnd) {
  EXPECT_TRUE(writer_.Claim("a", Gpa{0x100000}, kTestRam - 0x100000).ok());
}

TEST_F(BootWriterTest, NothingIsAlwaysFree) {
  EXPECT_TRUE(writer_.Claim("a", Gpa{UINT64_MAX}, 0).ok());
}

TEST_F(BootWriterTest, RangesThatLeaveRamAreRefused) {
  EXPECT_FALSE(writer_.Claim("a", Gpa{kTestRam - 1}, 2).ok());
  EXPECT_FALSE(writer_.Claim("a", Gpa{kTestRam}, 1).ok());
  EXPECT_FALSE(writer_.Claim("a", Gpa{0x1000}, UINT64_MAX).ok());
  EXPECT_FALSE(writer_.Claim("a", Gpa{UINT64_MAX}, 2).ok());
  EXPECT_FALSE(writer_.Claim("a", Gpa{UINT64_MAX - 1}, 1).ok());
}

TEST_F(BootWriterTest, RefusalNamesTheNumbersAndTheRemedy) {
  const auto status = writer_.Claim("--kernel k", Gpa{0x4000000}, 0x200000);

  EXPECT_THAT(Message(status), HasSubstr("--kernel k: it needs 2097152 bytes "
                                         "(2 MiB) at address 0x4000000"));
  EXPECT_THAT(Message(status), HasSubstr("63 MiB below 4 GiB"));
  EXPECT_THAT(Message(status), HasSubstr("--memory"));
}

TEST_F(BootWriterTest, ReservedRangesAreNotRam) {
  EXPECT_FALSE(writer_.Claim("a", Gpa{0x9fc00}, 1).ok());
  EXPECT_FALSE(writer_.Claim("a", Gpa{0x9fbff}, 2).ok());
  EXPECT_FALSE(writer_.Claim("a", Gpa{0xfffff}, 2).ok());
}

TEST_F(BootWriterTest, MapMayNotPromiseRamThatIsNotThere) {
  map_.push_back({Gpa{kTestRam}, 0x1000, E820Type::kRam});
  BootWriter writer(memory_, map_);

  EXPECT_FALSE(writer.Claim("a", Gpa{kTestRam}, 1).ok());
}

TEST_F(BootWriterTest, OverlapIsRefusedFromBothSides) {
  ASSERT_TRUE(writer_.Claim("the zero page", Gpa{0x7000}, 0x1000).ok());

  EXPECT_THAT(Message(writer_.Claim("k", Gpa{0x6fff}, 2)),
              HasSubstr("overlap the zero page"));
  EXPECT_FALSE(writer_.Claim("k", Gpa{0x7fff}, 1).ok());
  EXPECT_FALSE(writer_.Claim("k", Gpa{0x6000}, 0x3000).ok());
  EXPECT_FALSE(writer_.Claim("k", Gpa{0x7800}, 1).ok());
}

TEST_F(BootWriterTest, NeighboursDoNotOverlap) {
  ASSERT_TRUE(writer_.Claim("a", Gpa{0x7000}, 0x1000).ok());

  EXPECT_TRUE(writer_.Claim("b", Gpa{0x6000}, 0x1000).ok());
  EXPECT_TRUE(writer_.Claim("c", Gpa{0x8000}, 0x1000).ok());
}

TEST_F(BootWriterTest, HighestPlaceIsPageAlignedAtTheTop) {
  const auto at = writer_.ClaimHighest("initrd", 0x1801, UINT64_MAX);

  ASSERT_TRUE(at.ok()) << at.status();
  EXPECT_EQ(*at, Gpa{kTestRam - 0x2000});
}

TEST_F(BootWriterTest, HighestPlaceEndsBelowTheLimit) {
  const auto at = writer_.ClaimHighest("initrd", 0x1000, 0x2000fff);

  ASSERT_TRUE(at.ok()) << at.status();
  EXPECT_EQ(*at, Gpa{0x1fff000});
}

TEST_F(BootWriterTest, HighestPlaceLiesBelowAClaimAtTheTop) {
  ASSERT_TRUE(writer_.Claim("k", Gpa{kTestRam - 0x10000}, 0x10000).ok());

  const auto at = writer_.ClaimHighest("initrd", 0x1000, UINT64_MAX);

  ASSERT_TRUE(at.ok()) << at.status();
  EXPECT_EQ(*at, Gpa{kTestRam - 0x11000});
}

TEST_F(BootWriterTest, HighestPlaceMayLieBelowTheKernel) {
  ASSERT_TRUE(writer_.Claim("k", Gpa{0x1000000}, kTestRam - 0x1000000).ok());

  const auto at = writer_.ClaimHighest("initrd", 0x800000, UINT64_MAX);

  ASSERT_TRUE(at.ok()) << at.status();
  EXPECT_EQ(*at, Gpa{0x800000});
}

TEST_F(BootWriterTest, LowMemoryIsNotGivenAway) {
  EXPECT_FALSE(writer_.ClaimHighest("initrd", 0x1000, 0x100000).ok());
}

TEST_F(BootWriterTest, InitrdWithoutRoomIsRefusedWithNumbers) {
  const auto at = writer_.ClaimHighest("--initrd i", kTestRam, UINT64_MAX);

  EXPECT_THAT(Message(at.status()),
              HasSubstr("--initrd i: no 67108864 free bytes (64 MiB)"));
  EXPECT_THAT(Message(at.status()), HasSubstr("--memory"));
  EXPECT_FALSE(writer_.ClaimHighest("i", UINT64_MAX, UINT64_MAX).ok());
}

TEST(BootWriterHighRamTest, RamAbove4GiBIsNotLoadedInto) {
  const RamRange ranges[] = {{Gpa{0}, 4 << 20}, {Gpa{0x100000000}, 4 << 20}};
  const GuestMemory memory = *GuestMemory::Create(ranges, {});
  const std::vector<E820Entry> map = {
      {Gpa{0x100000}, 3 << 20, E820Type::kRam},
      {Gpa{0x100000000}, 4 << 20, E820Type::kRam}};
  BootWriter writer(memory, map);

  EXPECT_FALSE(writer.Claim("k", Gpa{0x100000000}, 0x1000).ok());
  EXPECT_FALSE(writer.Claim("k", Gpa{0xfffff000}, 0x2000).ok());
  const auto at = writer.ClaimHighest("initrd", 0x1000, UINT64_MAX);
  ASSERT_TRUE(at.ok()) << at.status();
  EXPECT_EQ(*at, Gpa{(4 << 20) - 0x1000});
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
