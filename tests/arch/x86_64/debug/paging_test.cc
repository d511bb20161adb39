// SPDX-License-Identifier: Apache-2.0
// The debugger's page walk on tables that a guest might really have, and on
// such that only a hostile one would.
#include "arch/x86_64/paging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace kvmlet::arch::x86_64 {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSize = 4 << 20;
constexpr uint64_t kPaging = 0x80000001;
constexpr uint64_t kPae = 1 << 5;
constexpr uint64_t kPse = 1 << 4;
constexpr uint64_t kLa57 = 1 << 12;
constexpr uint64_t kLong = 1 << 10;
constexpr uint64_t kPresent = 1;
constexpr uint64_t kLarge = 0x81;

class PagingTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, kSize}};
    memory_.emplace(*GuestMemory::Create(ranges, {}));
  }
  void Set(uint64_t table, uint64_t index, uint64_t entry) {
    ASSERT_TRUE(memory_->Store(Gpa{table + 8 * index}, entry));
  }
  void Set32(uint64_t table, uint64_t index, uint32_t entry) {
    ASSERT_TRUE(memory_->Store(Gpa{table + 4 * index}, entry));
  }
  std::optional<uint64_t> Find(const PagingRegisters& registers,
                               uint64_t address) {
    const auto page = X86AddressSpace(registers).Translate(*memory_, address);
    if (!page) return std::nullopt;
    EXPECT_GE(page->left, 1u);
    return page->at.value;
  }
  static PagingRegisters Long(uint64_t cr3, uint64_t cr4 = kPae) {
    return {.cr0 = kPaging, .cr3 = cr3, .cr4 = cr4, .efer = kLong};
  }

  std::optional<GuestMemory> memory_;
};

TEST_F(PagingTest, WithoutPagingAnAddressIsItself) {
  EXPECT_EQ(Find({}, 0x1234), 0x1234u);
  EXPECT_EQ(Find({}, 1ull << 32), std::nullopt);
}

TEST_F(PagingTest, FourLevelsWithPagesOfEverySize) {
  Set(0x1000, 256, 0x2000 | kPresent);
  Set(0x2000, 0, 0x3000 | kPresent);
  Set(0x2000, 1, 0x40000000 | kLarge);
  Set(0x3000, 0, 0x4000 | kPresent);
  Set(0x3000, 1, 0x200000 | kLarge);
  Set(0x4000, 5, (1ull << 63) | 0x5000 | kPresent);  // no-execute
  const uint64_t base = 0xffff800000000000;
  EXPECT_EQ(Find(Long(0x1000), base + 0x5123), 0x5123u);
  EXPECT_EQ(Find(Long(0x1000), base + 0x200456), 0x200456u);
  EXPECT_EQ(Find(Long(0x1000), base + 0x40000789), 0x40000789u);
  EXPECT_EQ(Find(Long(0x1000), base + 0x6000), std::nullopt);
  // PCID bits and the like are not part of the table's address.
  EXPECT_EQ(Find(Long(0x1000 | 0x7ff | 1ull << 63), base + 0x5000), 0x5000u);
}

TEST_F(PagingTest, TheEndOfThePageIsTold) {
  Set(0x1000, 0, 0x2000 | kPresent);
  Set(0x2000, 0, 0x3000 | kPresent);
  Set(0x3000, 0, 0x200000 | kLarge);
  const auto page = X86AddressSpace(Long(0x1000)).Translate(*memory_, 0x1ff0);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->left, 0x200000u - 0x1ff0);
}

TEST_F(PagingTest, FiveLevels) {
  Set(0x1000, 0x1ff, 0x2000 | kPresent);
  Set(0x2000, 0, 0x3000 | kPresent);
  Set(0x3000, 0, 0x4000 | kPresent);
  Set(0x4000, 0, 0x200000 | kLarge);
  const uint64_t base = 0xffff000000000000;
  EXPECT_EQ(Find(Long(0x1000, kPae | kLa57), base + 0x10), 0x200010u);
  EXPECT_EQ(Find(Long(0x1000), base + 0x10), std::nullopt) << "not canonical";
}

TEST_F(PagingTest, NonCanonicalAddressesAreNowhere) {
  Set(0x1000, 0, 0x2000 | kPresent);
  Set(0x2000, 0, kLarge);
  EXPECT_EQ(Find(Long(0x1000), 0x10), 0x10u);
  EXPECT_EQ(Find(Long(0x1000), 0x0001000000000010), std::nullopt);
  EXPECT_EQ(Find(Long(0x1000), 0x8000000000000010), std::nullopt);
}

TEST_F(PagingTest, ThirtyTwoBitsWithAndWithoutLargePages) {
  Set32(0x1000, 1, 0x00400000 | 0x81);
  Set32(0x1000, 2, 0x2000 | 1);
  Set32(0x2000, 3, 0x7000 | 1);
  Set32(0x1000, 3, 0x00800000 | 0x2000 | 0x81);  // bit 32 by PSE-36
  const PagingRegisters pse{.cr0 = kPaging, .cr3 = 0x1000, .cr4 = kPse};
  EXPECT_EQ(Find(pse, 0x400123), 0x400123u);
  EXPECT_EQ(Find(pse, 0x803456), 0x7456u);
  EXPECT_EQ(Find(pse, 0xc00010), 0x100800010u);
  EXPECT_EQ(Find(pse, 0x1000), std::nullopt);
  EXPECT_EQ(Find(pse, 0x100803456), 0x7456u) << "addresses have 32 bits";
}

TEST_F(PagingTest, PhysicalAddressExtension) {
  Set(0x1020, 3, 0x2000 | kPresent);
  Set(0x2000, 0, 0x3000 | kPresent);
  Set(0x2000, 1, 0x200000 | kLarge);
  Set(0x3000, 2, 0x123456000 | kPresent);
  const PagingRegisters pae{.cr0 = kPaging, .cr3 = 0x1020, .cr4 = kPae};
  EXPECT_EQ(Find(pae, 0xc0002010), 0x123456010u);
  EXPECT_EQ(Find(pae, 0xc0200010), 0x200010u);
  EXPECT_EQ(Find(pae, 0x2010), std::nullopt);
}

TEST_F(PagingTest, IsolatedTablesFindTheKernel) {
  // The kernel's table, and the user's one page above.
  Set(0x2000, 0, 0x6000 | kPresent | 1ull << 63);
  Set(0x2000, 511, 0x4000 | kPresent);
  Set(0x3000, 0, 0x6000 | kPresent);
  Set(0x4000, 511, 0x5000 | kPresent);
  Set(0x5000, 0, 0x200000 | kLarge);
  const uint64_t kernel = 0xffffffffc0000000;
  EXPECT_EQ(Find(Long(0x2000), kernel), 0x200000u);
  EXPECT_EQ(Find(Long(0x3000), kernel), 0x200000u);
  EXPECT_THAT(X86AddressSpace(Long(0x3000)).Explain(*memory_, kernel),
              HasSubstr("page-table isolation: cr3 0x2000"));
  // A neighbour that is no pair is not asked.
  Set(0x2000, 0, 0x8000 | kPresent);
  EXPECT_EQ(Find(Long(0x3000), kernel), std::nullopt);
}

TEST_F(PagingTest, HostileTables) {
  // A table that leads to itself ends after its levels.
  for (uint64_t i = 0; i < 512; ++i) Set(0x1000, i, 0x1000 | kPresent);
  EXPECT_EQ(Find(Long(0x1000), 0x1234), 0x1234u);
  // Tables outside RAM.
  EXPECT_EQ(Find(Long(kSize), 0x1234), std::nullopt);
  EXPECT_EQ(Find(Long(0x000ffffffffff000), 0x1234), std::nullopt);
  Set(0x1000, 0, 0x000ffffffffff000 | kPresent);
  EXPECT_EQ(Find(Long(0x1000), 0x1234), std::nullopt);
  EXPECT_THAT(X86AddressSpace(Long(0x1000)).Explain(*memory_, 0x1234),
              HasSubstr("outside RAM"));
}

TEST_F(PagingTest, MappingsAreListedTheKernelsFirst) {
  constexpr uint64_t kKernel = 0xffff800000000000;
  Set(0x1000, 0, 0x7000 | kPresent);
  Set(0x7000, 1, 0x40000000 | kLarge);
  Set(0x1000, 256, 0x2000 | kPresent);
  Set(0x2000, 0, 0x3000 | kPresent);
  Set(0x3000, 0, 0x4000 | kPresent);
  Set(0x3000, 1, 0x200000 | kLarge);
  Set(0x4000, 0, 0x5000 | kPresent);
  Set(0x4000, 1, 0x6000 | kPresent);
  Set(0x4000, 3, 0x9000 | kPresent);
  const X86AddressSpace space(Long(0x1000));
  const std::vector<CoreMapping> expected = {
      {kKernel, Gpa{0x5000}, 0x2000},
      {kKernel + 0x3000, Gpa{0x9000}, 0x1000},
      {kKernel + 0x200000, Gpa{0x200000}, 0x200000},
      {0x40000000, Gpa{0x40000000}, 0x40000000}};
  EXPECT_EQ(space.Mappings(*memory_, 100), expected);
  EXPECT_THAT(space.Mappings(*memory_, 2), testing::SizeIs(2));
  EXPECT_THAT(X86AddressSpace({}).Mappings(*memory_, 100), testing::IsEmpty());
}

TEST_F(PagingTest, MappingsOfHostileTablesEnd) {
  // Each entry of the top table leads to it.
  for (uint64_t i = 0; i < 512; ++i) Set(0x1000, i, 0x1000 | kPresent);
  const X86AddressSpace space(Long(0x1000));
  EXPECT_THAT(space.Mappings(*memory_, 100'000), testing::SizeIs(512));
  // And each to memory that is not there.
  for (uint64_t i = 0; i < 512; ++i) {
    Set(0x1000, i, 0x100000000 + (i << 12) + kPresent);
  }
  EXPECT_THAT(space.Mappings(*memory_, 100), testing::IsEmpty());
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
