// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/acpi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "arch/common/acpi_tables.h"
#include "arch/x86_64/layout.h"
#include "tests/arch/common/acpi_reader.h"
#include "tests/arch/x86_64/acpi/machines.h"

namespace kvmlet::arch::x86_64 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr Gpa kBase{kAcpiTables};
constexpr uint64_t kLimit = kAcpiTablesEnd - kAcpiTables;
constexpr size_t kMadtEntries = 44;
constexpr size_t kSratEntries = 48;

std::map<std::string, Bytes> Tables(const AcpiMachine& machine) {
  const auto blob = BuildAcpi(machine, kBase, kLimit);
  EXPECT_TRUE(blob.ok()) << blob.status();
  if (!blob.ok()) return {};
  const auto tables = ReadAcpi(blob->bytes, kBase.value);
  EXPECT_TRUE(tables.ok()) << tables.status();
  return tables.value_or(std::map<std::string, Bytes>());
}

std::vector<Subtable> OfType(const std::vector<Subtable>& all, uint8_t type) {
  std::vector<Subtable> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [type](const Subtable& s) { return s.type == type; });
  return out;
}

ReadResource Window(ReadResource::Kind kind, uint64_t base, uint64_t size) {
  return {.kind = kind, .window = true, .base = base, .size = size};
}

ReadResource Own(ReadResource::Kind kind, uint64_t base, uint64_t size) {
  return {.kind = kind, .base = base, .size = size};
}

std::vector<ReadResource> Crs(const AcpiMachine& machine,
                              std::string_view device) {
  const auto resources = ReadCrs(Tables(machine)["DSDT"], device);
  EXPECT_TRUE(resources.ok()) << device << ": " << resources.status();
  return resources.value_or(std::vector<ReadResource>());
}

TEST(AcpiTest, RsdpIsFirst) {
  const auto blob = BuildAcpi(TestMachine(1, 0), kBase, kLimit);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->rsdp, kBase);
}

TEST(AcpiTest, HasNoNumaTablesWithoutNodes) {
  EXPECT_THAT(Tables(TestMachine(1, 0)),
              UnorderedElementsAre(Key("RSD PTR "), Key("XSDT"), Key("FACP"),
                                   Key("DSDT"), Key("APIC"), Key("MCFG")));
}

TEST(AcpiTest, HasNumaTablesWithNodes) {
  const auto tables = Tables(TestMachine(4, 2));
  EXPECT_TRUE(tables.contains("SRAT"));
  EXPECT_TRUE(tables.contains("SLIT"));
}

TEST(AcpiTest, AThousandCpusFitBelowOneMegabyte) {
  EXPECT_THAT(Tables(TestMachine(1024, 4)), SizeIs(8));
}

TEST(AcpiTest, TablesThatDoNotFitBelongElsewhere) {
  const AcpiMachine machine = TestMachine(4000, 0);
  EXPECT_EQ(BuildAcpi(machine, kBase, kLimit).status().code(),
            absl::StatusCode::kResourceExhausted);
  constexpr Gpa kElsewhere{0x7fe00000};
  const auto blob = BuildAcpi(machine, kElsewhere, 0x200000);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_TRUE(ReadAcpi(blob->bytes, kElsewhere.value).ok());
}

TEST(AcpiTest, RefusesAnApicIdOfMoreThan32Bits) {
  AcpiMachine machine = TestMachine(1, 0);
  machine.cpus[0].hardware_id = uint64_t{1} << 32;
  EXPECT_THAT(std::string(BuildAcpi(machine, kBase, kLimit).status().message()),
              HasSubstr("APIC id"));
}

TEST(AcpiTest, RefusesAMachineThatIsNotValid) {
  EXPECT_FALSE(BuildAcpi(FixedAcpiMachine(kMmio64), kBase, kLimit).ok());
}

TEST(AcpiFadtTest, PointsIntoTheEventDevice) {
  const Bytes fadt = Tables(TestMachine(1, 0))["FACP"];
  EXPECT_EQ(LoadAt<uint64_t>(fadt, 120), kAcpiGed + 0x12);
  EXPECT_EQ(LoadAt<uint64_t>(fadt, 248), kAcpiGed + 0x10);
  EXPECT_EQ(LoadAt<uint64_t>(fadt, 260), kAcpiGed + 0x11);
}

TEST(AcpiFadtTest, SaysWhichLegacyDevicesExist) {
  AcpiMachine machine = TestMachine(1, 0);
  const Bytes with = Tables(machine)["FACP"];
  machine.rtc.reset();
  machine.serials.clear();
  const Bytes without = Tables(machine)["FACP"];
  EXPECT_EQ(LoadAt<uint16_t>(with, 109), 0x0005);  // legacy devices, no VGA
  EXPECT_EQ(LoadAt<uint8_t>(with, 108), 0x32);
  EXPECT_EQ(LoadAt<uint16_t>(without, 109), 0x0024);  // no VGA, no RTC
  EXPECT_EQ(LoadAt<uint8_t>(without, 108), 0);
}

TEST(AcpiMadtTest, LowApicIdsHaveTheOldStructure) {
  const auto entries =
      ReadSubtables(Tables(TestMachine(64, 0))["APIC"], kMadtEntries);
  const auto cpus = OfType(entries, 0);
  ASSERT_THAT(cpus, SizeIs(64));
  EXPECT_EQ(LoadAt<uint8_t>(cpus[13].bytes, 2), 13);  // uid
  EXPECT_EQ(LoadAt<uint8_t>(cpus[13].bytes, 3), 17);  // APIC id
  EXPECT_EQ(LoadAt<uint32_t>(cpus[13].bytes, 4), 1u);
  EXPECT_THAT(OfType(entries, 9), SizeIs(0));
  EXPECT_THAT(OfType(entries, 4), SizeIs(1));
  EXPECT_THAT(OfType(entries, 10), SizeIs(0));
}

TEST(AcpiMadtTest, ApicIdsFrom255OnHaveTheX2ApicStructure) {
  AcpiMachine machine = TestMachine(2, 0);
  machine.cpus[0].hardware_id = 254;
  machine.cpus[1].hardware_id = 255;
  const auto entries = ReadSubtables(Tables(machine)["APIC"], kMadtEntries);
  const auto wide = OfType(entries, 9);
  ASSERT_THAT(wide, SizeIs(1));
  EXPECT_EQ(LoadAt<uint32_t>(wide[0].bytes, 4), 255u);
  EXPECT_EQ(LoadAt<uint32_t>(wide[0].bytes, 12), 1u);  // uid
  EXPECT_THAT(OfType(entries, 0), SizeIs(1));
  EXPECT_THAT(OfType(entries, 10), SizeIs(1));
}

TEST(AcpiMadtTest, DescribesTheIoApicAndItsOverrides) {
  const auto entries =
      ReadSubtables(Tables(TestMachine(1, 0))["APIC"], kMadtEntries);
  const auto io_apics = OfType(entries, 1);
  ASSERT_THAT(io_apics, SizeIs(1));
  EXPECT_EQ(LoadAt<uint32_t>(io_apics[0].bytes, 4), kIoApic);
  EXPECT_EQ(LoadAt<uint32_t>(io_apics[0].bytes, 8), 0u);
  const auto overrides = OfType(entries, 2);
  ASSERT_THAT(overrides, SizeIs(2));
  EXPECT_EQ(LoadAt<uint8_t>(overrides[0].bytes, 3), 0);
  EXPECT_EQ(LoadAt<uint32_t>(overrides[0].bytes, 4), 2u);
  EXPECT_EQ(LoadAt<uint32_t>(overrides[1].bytes, 4), kAcpiGedGsi);
  EXPECT_EQ(LoadAt<uint16_t>(overrides[1].bytes, 8), 0x0d);
}

TEST(AcpiSratTest, EveryCpuIsOfItsNode) {
  const auto entries =
      ReadSubtables(Tables(TestMachine(300, 4))["SRAT"], kSratEntries);
  const auto narrow = OfType(entries, 0);
  const auto wide = OfType(entries, 2);
  EXPECT_EQ(narrow.size() + wide.size(), 300u);
  EXPECT_EQ(LoadAt<uint8_t>(narrow[7].bytes, 2), 3);        // node
  EXPECT_EQ(LoadAt<uint8_t>(narrow[7].bytes, 3), 7);        // APIC id
  EXPECT_EQ(LoadAt<uint32_t>(wide.back().bytes, 4), 3u);    // node
  EXPECT_EQ(LoadAt<uint32_t>(wide.back().bytes, 8), 395u);  // APIC id
  EXPECT_THAT(OfType(entries, 1), SizeIs(4));
}

TEST(AcpiDsdtTest, PciWindowsAreTheDescribedOnes) {
  EXPECT_THAT(
      Crs(TestMachine(1, 0), "PCI0"),
      ElementsAre(Window(ReadResource::kBus, 0, 1),
                  Own(ReadResource::kIo, kPciConfigPort, 8),
                  Window(ReadResource::kIo, kPciIoBase, kPciIoSize),
                  Window(ReadResource::kMemory, kPciMmio32, kPciMmio32Size),
                  Window(ReadResource::kMemory, kMmio64.base, kMmio64.size)));
}

TEST(AcpiDsdtTest, AWindowThatDoesNotExistIsLeftOut) {
  AcpiMachine machine = TestMachine(1, 0);
  machine.pci.mmio64 = {};
  machine.pci.io = {};
  EXPECT_THAT(Crs(machine, "PCI0"), SizeIs(3));
}

bool Holds(const Bytes& table, std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return !std::ranges::search(table, bytes).empty();
}

TEST(AcpiDsdtTest, RootBusHasANodeWhenThereAreNodes) {
  AcpiMachine machine = TestMachine(2, 2);
  machine.pci.node = 1;
  EXPECT_TRUE(Holds(Tables(machine)["DSDT"], "\x08_PXM\x01"));
  EXPECT_FALSE(Holds(Tables(TestMachine(1, 0))["DSDT"], "_PXM"));
}

TEST(AcpiDsdtTest, EcamAndEventRegistersAreReserved) {
  AcpiMachine machine = TestMachine(1, 0);
  machine.reserved = {{0xfffbc000, 0x4000}};
  EXPECT_THAT(Crs(machine, "MBRD"),
              ElementsAre(Own(ReadResource::kMemory, 0xfffbc000, 0x4000),
                          Own(ReadResource::kMemory, kEcam, kEcamSize),
                          Own(ReadResource::kMemory, kAcpiGed, kAcpiGedSize)));
}

TEST(AcpiDsdtTest, SlotsWhoseDevicesComeAndGoHaveObjects) {
  AcpiMachine machine = TestMachine(1, 0);
  EXPECT_FALSE(Holds(Tables(machine)["DSDT"], "_EJ0"));
  machine.pci.hotplug = {.registers = {kPciHotplug, kPciHotplugSize},
                         .slots = 1u << 3 | 1u << 31};
  const Bytes dsdt = Tables(machine)["DSDT"];
  for (const char* name : {"S03_", "S1F_", "_EJ0", "_SUN"}) {
    EXPECT_TRUE(Holds(dsdt, name)) << name;
  }
  EXPECT_FALSE(Holds(dsdt, "S04_"));
  EXPECT_THAT(Crs(machine, "MBRD"),
              testing::Contains(
                  Own(ReadResource::kMemory, kPciHotplug, kPciHotplugSize)));
}

TEST(AcpiDsdtTest, EcamAboveFourGigabytesIsReservedToo) {
  AcpiMachine machine = TestMachine(1, 0);
  machine.pci.ecam.base = 0x4010000000;
  EXPECT_EQ(Crs(machine, "MBRD")[0],
            Own(ReadResource::kMemory, 0x4010000000, kEcamSize));
}

TEST(AcpiDsdtTest, DevicesHaveTheirPortsAndInterrupts) {
  const AcpiMachine machine = TestMachine(1, 0);
  constexpr uint8_t kEdgeHigh = 3;
  constexpr uint8_t kLevelHigh = 1;
  EXPECT_THAT(Crs(machine, "COM1"),
              ElementsAre(Own(ReadResource::kIo, kCom1Port, 8),
                          ReadResource{.kind = ReadResource::kInterrupt,
                                       .base = kCom1Gsi,
                                       .flags = kEdgeHigh}));
  EXPECT_THAT(Crs(machine, "GED_"),
              ElementsAre(ReadResource{.kind = ReadResource::kInterrupt,
                                       .base = kAcpiGedGsi,
                                       .flags = kLevelHigh}));
  EXPECT_THAT(Crs(machine, "EXIT"),
              ElementsAre(Own(ReadResource::kIo, kExitPort, 4)));
  EXPECT_THAT(Crs(machine, "PEVT"),
              ElementsAre(Own(ReadResource::kIo, kPvpanicPort, 1)));
  EXPECT_THAT(Crs(machine, "RTC_"),
              ElementsAre(Own(ReadResource::kIo, kCmosPort, 2)));
}

TEST(AcpiDsdtTest, AMachineWithoutADeviceDoesNotDescribeIt) {
  AcpiMachine machine = TestMachine(1, 0);
  machine.exit_device.reset();
  machine.pvpanic.reset();
  machine.rtc.reset();
  const Bytes dsdt = Tables(machine)["DSDT"];
  for (const char* name : {"EXIT", "PEVT", "RTC_"}) {
    EXPECT_FALSE(ReadCrs(dsdt, name).ok()) << name;
  }
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
