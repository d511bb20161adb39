// SPDX-License-Identifier: Apache-2.0
#include "arch/common/aml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace kvmlet::arch::aml {
namespace {

using ::testing::ElementsAreArray;

Bytes Raw(std::initializer_list<int> values) {
  Bytes out;
  for (const int value : values) AppendByte(out, static_cast<uint8_t>(value));
  return out;
}

Bytes Raw(std::string_view text) {
  Bytes out;
  AppendText(out, text);
  return out;
}

// What a reader of 20.2.4 makes of the bytes.
size_t DecodeLength(const Bytes& bytes) {
  const auto lead = static_cast<size_t>(bytes[0]);
  EXPECT_EQ(lead >> 6, bytes.size() - 1);
  if (bytes.size() == 1) return lead;
  EXPECT_EQ(lead & 0x30, 0u);
  size_t value = lead & 0xf;
  for (size_t i = 1; i < bytes.size(); ++i) {
    value |= static_cast<size_t>(bytes[i]) << (8 * i - 4);
  }
  return value;
}

struct LengthCase {
  size_t payload;
  size_t own;  // bytes of the PkgLength
};

class PkgLengthTest : public testing::TestWithParam<LengthCase> {};

TEST_P(PkgLengthTest, CountsItselfInTheFewestBytes) {
  const auto [payload, own] = GetParam();
  const Bytes bytes = PkgLength(payload);
  EXPECT_EQ(bytes.size(), own);
  EXPECT_EQ(DecodeLength(bytes), payload + own);
}

INSTANTIATE_TEST_SUITE_P(
    Edges, PkgLengthTest,
    testing::Values(LengthCase{0, 1}, LengthCase{61, 1}, LengthCase{62, 1},
                    LengthCase{63, 2}, LengthCase{64, 2}, LengthCase{4092, 2},
                    LengthCase{4093, 2}, LengthCase{4094, 3},
                    LengthCase{4095, 3}, LengthCase{4096, 3},
                    LengthCase{(1 << 20) - 4, 3}, LengthCase{(1 << 20) - 3, 4},
                    LengthCase{1 << 20, 4}, LengthCase{(1 << 28) - 5, 4}));

TEST(PkgLengthDeathTest, RefusesMoreThan28Bits) {
  EXPECT_DEATH(PkgLength((1 << 28) - 4), "AML package");
}

TEST(AmlIntTest, UsesTheShortestForm) {
  EXPECT_EQ(Int(0).bytes(), Raw({0x00}));
  EXPECT_EQ(Int(1).bytes(), Raw({0x01}));
  EXPECT_EQ(Int(2).bytes(), Raw({0x0a, 2}));
  EXPECT_EQ(Int(0xff).bytes(), Raw({0x0a, 0xff}));
  EXPECT_EQ(Int(0x100).bytes(), Raw({0x0b, 0x00, 0x01}));
  EXPECT_EQ(Int(0xffff).bytes(), Raw({0x0b, 0xff, 0xff}));
  EXPECT_EQ(Int(0x10000).bytes(), Raw({0x0c, 0, 0, 1, 0}));
  EXPECT_EQ(Int(0x100000000).bytes(), Raw({0x0e, 0, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(Int(~uint64_t{0}).bytes().size(), 9u);
}

TEST(AmlDataTest, StringEndsWithZero) {
  EXPECT_EQ(Str("ab").bytes(), Raw({0x0d, 'a', 'b', 0}));
}

TEST(AmlDataTest, EisaIdIsCompressed) {
  EXPECT_EQ(EisaId("PNP0A08").bytes(), Raw({0x0c, 0x41, 0xd0, 0x0a, 0x08}));
  EXPECT_EQ(EisaId("PNP0C0C").bytes(), Raw({0x0c, 0x41, 0xd0, 0x0c, 0x0c}));
}

TEST(AmlDataTest, UuidSwapsItsFirstThreeFields) {
  const Value value = Uuid("33db4d5b-1ff7-401c-9657-7441c03dd766");
  EXPECT_EQ(value.bytes(),
            Raw({0x11, 0x13, 0x0a, 0x10, 0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f,
                 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66}));
}

TEST(AmlDataTest, EmptyBufferHasASize) {
  EXPECT_EQ(Buffer({}).bytes(), Raw({0x11, 0x02, 0x00}));
}

TEST(AmlDataTest, PackageCountsItsElements) {
  EXPECT_EQ(Package({Int(1), Int(5)}).bytes(),
            Raw({0x12, 0x05, 0x02, 0x01, 0x0a, 0x05}));
}

TEST(AmlDataTest, PackageOfMoreThan255ElementsHasAVariableCount) {
  const Bytes bytes = Package(Values(256, Int(0))).bytes();
  EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 6),
            Raw({0x13, 0x45, 0x10, 0x0b, 0x00, 0x01}));
  EXPECT_EQ(bytes.size(), 6u + 256u);
}

TEST(AmlPathTest, PadsAndCountsSegments) {
  EXPECT_EQ(Ref("\\_SB").bytes(), Raw("\\_SB_"));
  EXPECT_EQ(Ref("GED").bytes(), Raw("GED_"));
  EXPECT_EQ(Ref("\\_SB.PWRB").bytes(), Raw("\\\x2e_SB_PWRB"));
  EXPECT_EQ(Ref("\\_SB.PCI0.S0").bytes(), Raw("\\\x2f\x03_SB_PCI0S0__"));
  EXPECT_EQ(Ref("^^A").bytes(), Raw("^^A___"));
  EXPECT_EQ(Ref("\\").bytes(), Raw(std::string_view("\\\0", 2)));
}

TEST(AmlPathDeathTest, RefusesNamesThatAcpiDoesNotKnow) {
  EXPECT_DEATH(Ref("TOOLONG"), "TOOLONG");
  EXPECT_DEATH(Ref("low"), "low");
  EXPECT_DEATH(Ref("1ST"), "1ST");
  EXPECT_DEATH(Ref("A..B"), "");
  EXPECT_DEATH(Ref("A."), "");
}

TEST(AmlDeclarationTest, DeviceWrapsItsBody) {
  EXPECT_EQ(Device("DEV", {Name("_UID", Int(0))}).bytes(),
            Raw(std::string_view("\x5b\x82\x0b"
                                 "DEV_\x08_UID\0",
                                 13)));
}

TEST(AmlDeclarationTest, MethodFlagsHoldArgumentsAndSerialization) {
  EXPECT_EQ(Method("_EVT", 1, Serialized::kYes, {}).bytes(),
            Raw("\x14\x06_EVT\x09"));
  EXPECT_EQ(Method("_OSC", 4, Serialized::kNo, {}).bytes(),
            Raw("\x14\x06_OSC\x04"));
}

TEST(AmlDeclarationTest, FieldWidthsDoNotCountThemselves) {
  EXPECT_EQ(
      Field("REG", FieldAccess::kDWord, {{"ESEL", 32}, {"", 63}, {"BIG", 64}})
          .bytes(),
      Raw(std::string_view("\x5b\x81\x13REG_\x03"
                           "ESEL\x20\0\x3f"
                           "BIG_\x40\x04",
                           21)));
}

TEST(AmlDeclarationTest, RegionHasSpaceOffsetAndLength) {
  EXPECT_EQ(
      OperationRegion("REG", RegionSpace::kSystemMemory, 0xfeb00000, 4).bytes(),
      Raw(std::string_view("\x5b\x80REG_\0\x0c\0\0\xb0\xfe\x0a\x04", 14)));
}

TEST(AmlStatementTest, StoreOfAndHasNoTargetOfItsOwn) {
  EXPECT_EQ(Store(And(Local(0), Arg(1)), Ref("CDW1")).bytes(),
            Raw(std::string_view("\x70\x7b\x60\x69\0CDW1", 9)));
}

TEST(AmlStatementTest, IfWrapsConditionAndBody) {
  EXPECT_EQ(If(NotEqual(Arg(1), Int(1)), {Return(Int(0))}).bytes(),
            Raw(std::string_view("\xa0\x07\x92\x93\x69\x01\xa4\0", 8)));
}

TEST(AmlStatementTest, NotifyNamesTheObject) {
  EXPECT_EQ(Notify(Ref("PWRB"), Int(0x80)).bytes(), Raw("\x86PWRB\x0a\x80"));
}

}  // namespace
}  // namespace kvmlet::arch::aml
