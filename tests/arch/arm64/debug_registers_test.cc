// SPDX-License-Identifier: Apache-2.0
// What gdb is told about the registers.
#include "arch/arm64/debug_registers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace kvmlet::arch::arm64 {
namespace {

using testing::HasSubstr;

TEST(Arm64DebugRegistersTest, TheGeneralOnesComeFirst) {
  const auto table = RegisterTable();
  EXPECT_EQ(table[kFrameNumber].name, "x29");
  EXPECT_EQ(table[kSpNumber].name, "sp");
  EXPECT_EQ(table[kPcNumber].name, "pc");
  EXPECT_EQ(table[kGeneralRegisters - 1].name, "fpcr");
  EXPECT_EQ(table[kGeneralRegisters].name, "elr_el1");
}

// gdb takes the feature only with these four in this order, one number after
// the other.
TEST(Arm64DebugRegistersTest, SignaturesHaveTheirMasks) {
  const size_t first = RegisterTable().size() - 4;
  EXPECT_THAT(
      BuildDescription(),
      HasSubstr(absl::StrCat(
          "<feature name=\"org.gnu.gdb.aarch64.pauth_v2\">\n"
          "<reg name=\"pauth_dmask\" bitsize=\"64\" type=\"int64\" regnum=\"",
          first, "\" group=\"system\"/>\n<reg name=\"pauth_cmask\"")));
  const char* const kNames[] = {"pauth_dmask", "pauth_cmask",
                                "pauth_dmask_high", "pauth_cmask_high"};
  for (size_t i = 0; i < std::size(kNames); ++i) {
    EXPECT_EQ(RegisterTable()[first + i].name, kNames[i]);
    EXPECT_EQ(RegisterTable()[first + i].where, i / 2);
  }
}

}  // namespace
}  // namespace kvmlet::arch::arm64
