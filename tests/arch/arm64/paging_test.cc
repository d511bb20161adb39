// SPDX-License-Identifier: Apache-2.0
// The debugger's page walk on tables that a guest might really have, and on
// such that only a hostile one would.
#include "arch/arm64/paging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace kvmlet::arch::arm64 {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSize = 4 << 20;
constexpr uint64_t kTable = 3;
constexpr uint64_t kPage = 3;
constexpr uint64_t kBlock = 1;
constexpr uint64_t kAttributes = 0x0060000000000710;
constexpr uint64_t kKernel = 0xffff800000000000;
// TCR_EL1's fields.
constexpr uint64_t Sizes(uint64_t t0, uint64_t t1) { return t0 | t1 << 16; }
constexpr uint64_t kGranule4 = 0ull << 14 | 2ull << 30;
constexpr uint64_t kGranule16 = 2ull << 14 | 1ull << 30;
constexpr uint64_t kGranule64 = 1ull << 14 | 3ull << 30;
constexpr uint64_t kIgnoreTop0 = 1ull << 37;
constexpr uint64_t kLargeAddresses = 1ull << 59;
constexpr uint64_t kDisable0 = 1 << 7;

class Arm64PagingTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, kSize}};
    memory_.emplace(*GuestMemory::Create(ranges, {}));
  }
  void Set(uint64_t table, uint64_t index, uint64_t entry) {
    ASSERT_TRUE(memory_->Store(Gpa{table + 8 * index}, entry));
  }
  std::optional<uint64_t> Find(uint64_t tcr, uint64_t address) {
    const TranslationRegisters registers{
        .sctlr = 1, .tcr = tcr, .ttbr0 = ttbr0_, .ttbr1 = ttbr1_};
    const auto page = Arm64AddressSpace(registers).Translate(*memory_, address);
    if (!page) return std::nullopt;
    EXPECT_GE(page->left, 1u);
    return page->at.value;
  }

  std::optional<GuestMemory> memory_;
  uint64_t ttbr0_ = 0x10000;
  uint64_t ttbr1_ = 0x20000;
};

TEST_F(Arm64PagingTest, WithoutTranslationAnAddressIsItself) {
  const Arm64AddressSpace space({});
  EXPECT_EQ(space.Translate(*memory_, 0x1234)->at, Gpa{0x1234});
  EXPECT_FALSE(space.Translate(*memory_, 1ull << 52));
}

TEST_F(Arm64PagingTest, FourLevelsWithPagesAndBlocks) {
  ttbr1_ = 0x20000 | 0x1ull << 48 | 1;  // an ASID, CnP
  Set(0x20000, 256, 0x21000 | kTable);
  Set(0x21000, 0, 0x22000 | kTable);
  Set(0x21000, 1, 0x40000000 | kBlock | kAttributes);
  Set(0x22000, 0, 0x23000 | kTable);
  Set(0x22000, 1, 0x80200000 | kBlock | kAttributes);
  Set(0x23000, 5, 0x7000 | kPage | kAttributes);
  const uint64_t tcr = Sizes(16, 16) | kGranule4;
  EXPECT_EQ(Find(tcr, kKernel + 0x5123), 0x7123u);
  EXPECT_EQ(Find(tcr, kKernel + 0x201234), 0x80201234u);
  EXPECT_EQ(Find(tcr, kKernel + 0x41234567), 0x41234567u);
  EXPECT_EQ(Find(tcr, kKernel + 0x6000), std::nullopt) << "empty";
  EXPECT_EQ(Find(tcr, 0x5123), std::nullopt) << "the other half";
}

TEST_F(Arm64PagingTest, TheHalvesHaveSizesOfTheirOwn) {
  // 39 bits: three levels.
  Set(0x10000, 3, 0x11000 | kTable);
  Set(0x11000, 0, 0x12000 | kTable);
  Set(0x12000, 1, 0x9000 | kPage);
  const uint64_t tcr = Sizes(25, 16) | kGranule4;
  EXPECT_EQ(Find(tcr, 0xc0001008), 0x9008u);
  EXPECT_EQ(Find(tcr, 1ull << 39 | 0xc0001008), std::nullopt) << "too large";
  EXPECT_EQ(Find(tcr | kDisable0, 0xc0001008), std::nullopt);
}

TEST_F(Arm64PagingTest, TagsAreIgnoredWhereTheyAreAllowed) {
  Set(0x10000, 0, 0x11000 | kTable);
  Set(0x11000, 0, 0x12000 | kTable);
  Set(0x12000, 1, 0x9000 | kPage);
  const uint64_t tcr = Sizes(25, 16) | kGranule4;
  const uint64_t tagged = 0x5a00000000001008;
  EXPECT_EQ(Find(tcr, tagged), std::nullopt);
  EXPECT_EQ(Find(tcr | kIgnoreTop0, tagged), 0x9008u);
}

TEST_F(Arm64PagingTest, SixteenKilobytes) {
  // 47 bits: three levels, 2048 entries each.
  Set(0x20000, 0, 0x24000 | kTable);
  Set(0x24000, 1, 0x28000 | kTable);
  Set(0x24000, 2, 0x4000000 | kBlock);
  Set(0x28000, 3, 0x1c000 | kPage);
  const uint64_t tcr = Sizes(17, 17) | kGranule16;
  const uint64_t kernel = 0xffff800000000000;
  EXPECT_EQ(Find(tcr, kernel + (2 << 20) * 16 + 3 * 0x4000 + 8), 0x1c008u);
  EXPECT_EQ(Find(tcr, kernel + (2 << 20) * 32 + 8), 0x4000008u);
}

TEST_F(Arm64PagingTest, SixtyFourKilobytesWith52BitAddresses) {
  // 42 bits: two levels, 8192 entries each.
  Set(0x20000, 0, 0x40000 | kTable);
  Set(0x40000, 1, 0x50000 | 0x3000 | kPage);
  const uint64_t tcr = Sizes(22, 22) | kGranule64;
  EXPECT_EQ(Find(tcr, 0xfffffc0000010004), uint64_t{0x50004} | 3ull << 48);
}

TEST_F(Arm64PagingTest, FiveLevelsWithLargeAddresses) {
  Set(0x20000, 8, 0x21000 | kTable);
  Set(0x21000, 0, 0x22000 | kTable);
  Set(0x22000, 0, 0x23000 | kTable);
  Set(0x23000, 0, 0x24000 | kTable);
  Set(0x24000, 1, 0x9000 | kPage | 1 << 8);
  const uint64_t tcr = Sizes(12, 12) | kGranule4 | kLargeAddresses;
  EXPECT_EQ(Find(tcr, 0xfff8000000001010), uint64_t{0x9010} | 1ull << 50);
}

TEST_F(Arm64PagingTest, HostileTablesEnd) {
  const uint64_t tcr = Sizes(16, 16) | kGranule4;
  // A table that is its own.
  for (uint64_t i = 0; i < 512; ++i) Set(0x20000, i, 0x20000 | kTable);
  EXPECT_EQ(Find(tcr, kKernel + 0x123), 0x20123u);
  Set(0x20000, 256, 0x0000fffffffff000 | kTable);
  EXPECT_EQ(Find(tcr, kKernel), std::nullopt) << "outside RAM";
  Set(0x20000, 256, 0x1000 | kBlock);
  EXPECT_EQ(Find(tcr, kKernel), std::nullopt) << "no block of 512 GiB";
  ttbr1_ = ~0ull;
  EXPECT_EQ(Find(tcr, kKernel), std::nullopt);
}

TEST_F(Arm64PagingTest, ImpossibleSizesMapNothing) {
  for (const uint64_t size : {0u, 11u, 49u, 63u}) {
    EXPECT_EQ(Find(Sizes(size, size) | kGranule4, kKernel), std::nullopt);
    EXPECT_EQ(Find(Sizes(size, size) | kGranule64, 0), std::nullopt);
  }
  EXPECT_EQ(Find(Sizes(16, 16), kKernel), std::nullopt) << "reserved granule";
}

TEST_F(Arm64PagingTest, TheWalkIsExplained) {
  Set(0x20000, 256, 0x21000 | kTable);
  const TranslationRegisters registers{.sctlr = 1,
                                       .tcr = Sizes(16, 16) | kGranule4,
                                       .ttbr0 = ttbr0_,
                                       .ttbr1 = ttbr1_};
  const std::string text =
      Arm64AddressSpace(registers).Explain(*memory_, kKernel);
  EXPECT_THAT(text, HasSubstr("48-bit addresses, pages of 4 KiB, ttbr1"));
  EXPECT_THAT(text, HasSubstr("level 0: [0x20800] = 0x21003"));
  EXPECT_THAT(text, HasSubstr("not mapped"));
}

TEST_F(Arm64PagingTest, MappingsAreListedTheKernelsFirst) {
  Set(0x10000, 0, 0x11000 | kTable);
  Set(0x11000, 1, 0x40000000 | kBlock);
  Set(0x20000, 256, 0x21000 | kTable);
  Set(0x21000, 0, 0x22000 | kTable);
  Set(0x22000, 0, 0x23000 | kTable);
  Set(0x22000, 1, 0x200000 | kBlock | kAttributes);
  Set(0x23000, 0, 0x5000 | kPage | kAttributes);
  Set(0x23000, 1, 0x6000 | kPage | kAttributes);
  Set(0x23000, 3, 0x9000 | kPage | kAttributes);
  const Arm64AddressSpace space({.sctlr = 1,
                                 .tcr = Sizes(16, 16) | kGranule4,
                                 .ttbr0 = ttbr0_,
                                 .ttbr1 = ttbr1_});
  const std::vector<CoreMapping> expected = {
      {kKernel, Gpa{0x5000}, 0x2000},
      {kKernel + 0x3000, Gpa{0x9000}, 0x1000},
      {kKernel + 0x200000, Gpa{0x200000}, 0x200000},
      {0x40000000, Gpa{0x40000000}, 0x40000000}};
  EXPECT_EQ(space.Mappings(*memory_, 100), expected);
  EXPECT_THAT(Arm64AddressSpace({}).Mappings(*memory_, 100),
              testing::IsEmpty());
}

}  // namespace
}  // namespace kvmlet::arch::arm64
