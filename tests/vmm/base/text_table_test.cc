// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/text_table.h"

#include <gtest/gtest.h>

#include "vmm/base/exits_text.h"

namespace kvmlet {
namespace {

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(TextTable({{"A", "LONG", "B"}, {"wide", "x", "y"}, {"z"}}),
            "A     LONG  B\n"
            "wide  x     y\n"
            "z\n");
  EXPECT_EQ(TextTable({}), "");
}

TEST(ShortTimeTest, ThreeDigitsAndAUnit) {
  EXPECT_EQ(ShortTime(0), "0ns");
  EXPECT_EQ(ShortTime(999), "999ns");
  EXPECT_EQ(ShortTime(1000), "1.00us");
  EXPECT_EQ(ShortTime(9994), "9.99us");
  EXPECT_EQ(ShortTime(9996), "10.0us");
  EXPECT_EQ(ShortTime(123'456), "123us");
  EXPECT_EQ(ShortTime(1'250'000), "1.25ms");
  EXPECT_EQ(ShortTime(1'000'000'000), "1.00s");
  EXPECT_EQ(ShortTime(3'600'000'000'000), "3600s");
  EXPECT_EQ(ShortTime(UINT64_MAX), "18446744074s");
}

StatsGroup Of(uint32_t vcpu, const char* provider, std::vector<Stat> stats) {
  return {.target = StatsTarget::kVcpu,
          .vcpu = vcpu,
          .provider = provider,
          .stats = std::move(stats)};
}

TEST(ExitsTextTest, CountsAloneWithoutATrace) {
  const std::vector<StatsGroup> groups = {
      Of(0, "kvm", {{{.name = "exits"}, {9}}}),
      Of(0, kExitsProvider, {{{.name = "io"}, {3}}, {{.name = "mmio"}, {20}}}),
      Of(1, kExitsProvider, {{{.name = "io"}, {1}}})};
  EXPECT_EQ(ExitsText(groups),
            "CPU  REASON  EXITS\n"
            "0    mmio    20\n"
            "0    io      3\n"
            "1    io      1\n");
}

TEST(ExitsTextTest, CostsWithATrace) {
  const std::vector<StatsGroup> groups = {
      Of(0, kExitsProvider, {{{.name = "io"}, {4}}}),
      Of(0, kExitMonitorProvider, {{{.name = "io"}, {6000}}}),
      Of(0, kExitGuestProvider, {{{.name = "io"}, {2'000'000}}})};
  EXPECT_EQ(ExitsText(groups),
            "CPU  REASON  EXITS  MONITOR  MEAN    GUEST\n"
            "0    io      4      6.00us   1.50us  2.00ms\n");
}

}  // namespace
}  // namespace kvmlet
