// SPDX-License-Identifier: Apache-2.0
#include "arch/common/acpi_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/arch/common/acpi_reader.h"

namespace kvmlet::arch {
namespace {

constexpr Gpa kBase{0xe0000};

TEST(AcpiTablesTest, ChecksumMakesTheSumZero) {
  Bytes bytes(20, std::byte{0x77});
  SetChecksum(bytes, 8);
  EXPECT_EQ(Sum(bytes), 0);
}

TEST(AcpiTablesTest, HeaderCountsItselfAndTheBody) {
  const Bytes table = BuildTable("TEST", 3, Bytes(5, std::byte{1}));
  EXPECT_EQ(table.size(), 41u);
  EXPECT_EQ(LoadAt<uint32_t>(table, 4), 41u);
  EXPECT_EQ(LoadAt<uint8_t>(table, 8), 3);
  EXPECT_EQ(Sum(table), 0);
}

TEST(AcpiTablesTest, RsdpHasBothChecksums) {
  const Bytes rsdp = BuildRsdp(Gpa{0x123456789abcdef0});
  EXPECT_EQ(Sum(std::span(rsdp).first(20)), 0);
  EXPECT_EQ(Sum(rsdp), 0);
  EXPECT_EQ(LoadAt<uint8_t>(rsdp, 15), 2);
  EXPECT_EQ(LoadAt<uint64_t>(rsdp, 24), 0x123456789abcdef0u);
}

TEST(AcpiTablesTest, FadtHasEveryFieldAtItsOffset) {
  const Bytes fadt = BuildFadt({.dsdt = {0x1122334455},
                                .sleep_control = {0xfeb00010},
                                .sleep_status = {0xfeb00011},
                                .reset = {0xfeb00012},
                                .reset_value = 1,
                                .sci_interrupt = 9,
                                .century_register = 0x32,
                                .x86_boot_flags = 0x0025,
                                .arm_boot_flags = 3,
                                .wbinvd_works = true});
  EXPECT_EQ(fadt.size(), 276u);
  EXPECT_EQ(LoadAt<uint16_t>(fadt, 46), 9);
  EXPECT_EQ(LoadAt<uint8_t>(fadt, 108), 0x32);
  EXPECT_EQ(LoadAt<uint16_t>(fadt, 109), 0x0025);
  // Hardware-reduced, reset register, no fixed buttons, WBINVD.
  EXPECT_EQ(LoadAt<uint32_t>(fadt, 112), 0x00100471u);
  EXPECT_EQ(LoadAt<uint32_t>(fadt, 116), 0x01000800u);  // a byte of memory
  EXPECT_EQ(LoadAt<uint64_t>(fadt, 120), 0xfeb00012u);
  EXPECT_EQ(LoadAt<uint8_t>(fadt, 128), 1);
  EXPECT_EQ(LoadAt<uint16_t>(fadt, 129), 3);
  EXPECT_EQ(LoadAt<uint64_t>(fadt, 140), 0x1122334455u);
  EXPECT_EQ(LoadAt<uint64_t>(fadt, 248), 0xfeb00010u);
  EXPECT_EQ(LoadAt<uint64_t>(fadt, 260), 0xfeb00011u);
}

TEST(AcpiTablesTest, McfgCoversTheBusesOfTheEcam) {
  const Bytes mcfg = BuildMcfg({0x4010000000, 0x10000000});
  EXPECT_EQ(LoadAt<uint64_t>(mcfg, 44), 0x4010000000u);
  EXPECT_EQ(LoadAt<uint8_t>(mcfg, 54), 0);
  EXPECT_EQ(LoadAt<uint8_t>(mcfg, 55), 255);
}

TEST(AcpiTablesTest, SratNamesTheMemoryOfEachNode) {
  const std::vector<AcpiNode> nodes = {
      {.memory = {{{0, 0x80000000}}}},
      {.memory = {{{0x100000000, 0x40000000}, /*hotplug=*/true}}}};
  const auto entries = ReadSubtables(BuildSrat({}, nodes), 48);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].type, 1);
  EXPECT_EQ(LoadAt<uint32_t>(entries[0].bytes, 28), 1u);
  EXPECT_EQ(LoadAt<uint32_t>(entries[1].bytes, 2), 1u);
  EXPECT_EQ(LoadAt<uint64_t>(entries[1].bytes, 8), 0x100000000u);
  EXPECT_EQ(LoadAt<uint64_t>(entries[1].bytes, 16), 0x40000000u);
  EXPECT_EQ(LoadAt<uint32_t>(entries[1].bytes, 28), 3u);
}

TEST(AcpiTablesTest, SlitHasTenAndTwentyUnlessTold) {
  const std::vector<AcpiNode> nodes = {{}, {.distances = {17, 10}}};
  const Bytes slit = BuildSlit(nodes);
  ASSERT_EQ(slit.size(), 48u);
  EXPECT_EQ(LoadAt<uint64_t>(slit, 36), 2u);
  EXPECT_EQ(LoadAt<uint32_t>(slit, 44), 0x0a11140au);  // 10 20 17 10
}

TEST(AcpiPlacerTest, AlignsTablesAfterTheRsdp) {
  AcpiPlacer placer(kBase, 4096);
  EXPECT_EQ(placer.Place(Bytes(3)).value(), kBase + 48);
  EXPECT_EQ(placer.Place(Bytes(16)).value(), kBase + 64);
  EXPECT_EQ(placer.Place(Bytes(1)).value(), kBase + 80);
}

TEST(AcpiPlacerTest, FillsTheAreaToItsLastByteAndNoFurther) {
  AcpiPlacer placer(kBase, 64);
  EXPECT_FALSE(placer.Place(Bytes(17)).ok());
  EXPECT_TRUE(placer.Place(Bytes(16)).ok());
  EXPECT_EQ(placer.Place(Bytes(1)).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(AcpiPlacerTest, AreaSmallerThanTheRsdpHoldsNothing) {
  AcpiPlacer placer(kBase, 8);
  EXPECT_FALSE(placer.Place(Bytes()).ok());
}

TEST(AcpiPlacerTest, FinishLeadsFromRsdpToEveryTable) {
  AcpiPlacer placer(kBase, 4096);
  const Gpa dsdt = placer.Place(BuildTable("DSDT", 2, {})).value();
  const Gpa tables[] = {placer.Place(BuildFadt({.dsdt = dsdt})).value()};
  const auto bytes = std::move(placer).Finish(tables);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto read = ReadAcpi(*bytes, kBase.value);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size(), 4u);
}

}  // namespace
}  // namespace kvmlet::arch
