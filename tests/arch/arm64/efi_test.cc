// SPDX-License-Identifier: Apache-2.0
// What a kernel reads of EFI's tables, in the order in which Linux does.
#include "arch/arm64/efi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <vector>

#include "tests/arch/arm64/fdt_reader.h"
#include "tests/arch/arm64/machines.h"
#include "tests/arch/common/acpi_reader.h"

namespace kvmlet::arch::arm64 {
namespace {

using ::testing::ElementsAre;

constexpr Gpa kArea{kRam + 254 * kMiB};

struct Descriptor {
  uint32_t type;
  uint64_t base;
  uint64_t end;
  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

std::vector<Descriptor> MapOf(const EfiTables& efi) {
  std::vector<Descriptor> map;
  const uint64_t start = efi.places.memory_map.value - kArea.value;
  for (uint64_t at = start; at < start + efi.places.memory_map_size;
       at += kEfiDescriptorSize) {
    const auto base = LoadAt<uint64_t>(efi.bytes, at + 8);
    EXPECT_EQ(LoadAt<uint64_t>(efi.bytes, at + 32), 8u);  // write-back
    map.push_back({LoadAt<uint32_t>(efi.bytes, at), base,
                   base + 4096 * LoadAt<uint64_t>(efi.bytes, at + 24)});
  }
  return map;
}

TEST(EfiTest, SystemTableIsSound) {
  const std::vector<RamRange> ram = {{Gpa{kRam}, 512 * kMiB}};
  const EfiTables efi = BuildEfi(ram, kArea);
  EXPECT_EQ(efi.places.system_table, kArea);
  EXPECT_EQ(LoadAt<uint64_t>(efi.bytes, 0), 0x5453595320494249u);
  EXPECT_EQ(LoadAt<uint32_t>(efi.bytes, 8), 0x00020046u);
  EXPECT_EQ(LoadAt<uint32_t>(efi.bytes, 12), 120u);
  Bytes header(efi.bytes.begin(), efi.bytes.begin() + 120);
  std::fill(header.begin() + 16, header.begin() + 20, std::byte{0});
  EXPECT_EQ(LoadAt<uint32_t>(efi.bytes, 16),
            crc32(0, reinterpret_cast<const Bytef*>(header.data()), 120));
  // No services, so that nobody calls them.
  EXPECT_EQ(LoadAt<uint64_t>(efi.bytes, 88), 0u);
  EXPECT_EQ(LoadAt<uint64_t>(efi.bytes, 96), 0u);
}

TEST(EfiTest, ConfigurationTablesLieInTheArea) {
  const std::vector<RamRange> ram = {{Gpa{kRam}, 512 * kMiB}};
  const EfiTables efi = BuildEfi(ram, kArea);
  ASSERT_EQ(LoadAt<uint64_t>(efi.bytes, 104), 3u);
  const uint64_t tables = LoadAt<uint64_t>(efi.bytes, 112) - kArea.value;
  // First quarters of ACPI 2.0, RTPROP and MEMRESERVE.
  const std::pair<uint32_t, uint64_t> known[] = {
      {0x8868e871, 0}, {0xeb66918a, 8}, {0x888eb0c6, 16}};
  for (size_t i = 0; i < 3; ++i) {
    const uint64_t entry = tables + 24 * i;
    EXPECT_EQ(LoadAt<uint32_t>(efi.bytes, entry), known[i].first);
    const uint64_t at = LoadAt<uint64_t>(efi.bytes, entry + 16) - kArea.value;
    if (i == 0) {
      EXPECT_EQ(at, kFirmwareAcpi);
      continue;
    }
    ASSERT_LE(at + known[i].second, efi.bytes.size());
    EXPECT_EQ(at / 4096, (at + known[i].second - 1) / 4096);
  }
}

TEST(EfiTest, MapCoversAllRamOnceAndKeepsTheArea) {
  const std::vector<RamRange> ram = {{Gpa{kRam}, 512 * kMiB}};
  const uint64_t end = kArea.value + kFirmwareSize;
  EXPECT_THAT(MapOf(BuildEfi(ram, kArea)),
              ElementsAre(Descriptor{7, kRam, kArea.value},
                          Descriptor{9, kArea.value, end},
                          Descriptor{7, end, kRam + 512 * kMiB}));
}

TEST(EfiTest, AreaAtTheEdgesLeavesNoEmptyDescriptor) {
  const std::vector<RamRange> ram = {
      {Gpa{kArea.value}, kFirmwareSize},
      {Gpa{kArea.value + 512 * kMiB}, 512 * kMiB}};
  EXPECT_THAT(
      MapOf(BuildEfi(ram, kArea)),
      ElementsAre(
          Descriptor{9, kArea.value, kArea.value + kFirmwareSize},
          Descriptor{7, kArea.value + 512 * kMiB, kArea.value + 1024 * kMiB}));
}

TEST(EfiTest, TreeSaysWhereEverythingIs) {
  FdtMachine machine = Machine();
  EXPECT_FALSE(
      FdtReader(*BuildFdt(machine)).Has("/chosen", "linux,uefi-system-table"));
  const std::vector<RamRange> ram = {{Gpa{kRam}, 512 * kMiB}};
  machine.efi = BuildEfi(ram, kArea).places;
  const FdtReader fdt(*BuildFdt(machine));
  EXPECT_THAT(fdt.Numbers("/chosen", "linux,uefi-system-table"),
              ElementsAre(kArea.value));
  EXPECT_THAT(fdt.Reserved(),
              ElementsAre(std::pair(kArea.value, kFirmwareSize)));
  EXPECT_THAT(fdt.Numbers("/chosen", "linux,uefi-mmap-start"),
              ElementsAre(kArea.value + 0x1000));
  EXPECT_EQ(fdt.Cell("/chosen", "linux,uefi-mmap-size"), 120u);
  EXPECT_EQ(fdt.Cell("/chosen", "linux,uefi-mmap-desc-size"), 40u);
  EXPECT_EQ(fdt.Cell("/chosen", "linux,uefi-mmap-desc-ver"), 1u);
  EXPECT_EQ(fdt.Cell("/chosen", "linux,uefi-secure-boot"), 2u);
}

}  // namespace
}  // namespace kvmlet::arch::arm64
