// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/efi.h"

#include <glog/logging.h>
#include <zlib.h>

#include <array>
#include <cstddef>
#include <cstring>

namespace kvmlet::arch::arm64 {
namespace {

using Guid = std::array<uint8_t, 16>;

// As they lie in memory: the first three fields are little endian.
constexpr Guid kAcpi20{0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11,
                       0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81};
// Which runtime services there are: none, or Linux would call them.
constexpr Guid kRuntimeProperties{0x8a, 0x91, 0x66, 0xeb, 0xef, 0x7e,
                                  0x2a, 0x40, 0x84, 0x2e, 0x93, 0x1d,
                                  0x21, 0xc3, 0x8a, 0xe9};
// Linux's own: a list in which it notes what a kernel after it must not touch,
// such as the tables of the interrupt controller.
constexpr Guid kMemoryReserve{0xc6, 0xb0, 0x8e, 0x88, 0xde, 0x8e, 0xf5, 0x4f,
                              0xa8, 0xf0, 0x9a, 0xee, 0x5c, 0xb9, 0x77, 0xc2};

struct SystemTable {
  uint64_t signature = 0x5453595320494249;  // "IBI SYST"
  uint32_t revision = 2 << 16 | 70;
  uint32_t header_size = 120;
  uint32_t crc = 0;
  uint32_t reserved_20 = 0;
  uint64_t vendor = 0;
  uint32_t vendor_revision = 0;
  uint32_t padding_36 = 0;
  uint64_t consoles[6] = {};
  uint64_t runtime_services = 0;
  uint64_t boot_services = 0;
  uint64_t tables = 0;
  uint64_t table = 0;
};
static_assert(sizeof(SystemTable) == 120);

struct ConfigurationTable {
  Guid guid;
  uint64_t at = 0;
};
static_assert(sizeof(ConfigurationTable) == 24);

struct RuntimeProperties {
  uint16_t version = 1;
  uint16_t length = 8;
  uint32_t supported = 0;
};

struct MemoryReserve {
  uint32_t size = 0;
  uint32_t count = 0;
  uint64_t next = 0;
};

struct Descriptor {
  uint32_t type = 0;
  uint32_t padding_4 = 0;
  uint64_t physical = 0;
  uint64_t virtual_start = 0;
  uint64_t pages = 0;
  uint64_t attributes = 8;  // write-back
};
static_assert(sizeof(Descriptor) == kEfiDescriptorSize);
constexpr uint32_t kConventional = 7;
constexpr uint32_t kAcpiReclaim = 9;
constexpr uint64_t kPage = 4096;

// Offsets in the area.
constexpr uint64_t kTables = 0x80;
constexpr uint64_t kVendor = 0x100;  // Linux maps 200 bytes of it
constexpr uint64_t kProperties = 0x200;
constexpr uint64_t kReserve = 0x210;
constexpr uint64_t kMap = 0x1000;

template <typename T>
void Put(Bytes& area, uint64_t at, const T& object) {
  CHECK_LE(at + sizeof(object), area.size());
  std::memcpy(area.data() + at, &object, sizeof(object));
}

std::vector<Descriptor> MemoryMap(std::span<const RamRange> ram, Gpa area) {
  std::vector<Descriptor> map;
  const auto add = [&map](uint32_t type, uint64_t base, uint64_t end) {
    if (base < end) {
      map.push_back(
          {.type = type, .physical = base, .pages = (end - base) / kPage});
    }
  };
  for (const RamRange& range : ram) {
    const uint64_t base = range.base.value;
    const uint64_t end = base + range.size;
    if (area.value < base || area.value >= end) {
      add(kConventional, base, end);
      continue;
    }
    const uint64_t area_end = area.value + kFirmwareSize;
    add(kConventional, base, area.value);
    add(kAcpiReclaim, area.value, area_end);
    add(kConventional, area_end, end);
  }
  return map;
}

}  // namespace

EfiTables BuildEfi(std::span<const RamRange> ram, Gpa area) {
  EfiTables efi{.bytes = Bytes(kFirmwareAcpi), .places = {}};
  const ConfigurationTable tables[] = {
      {kAcpi20, area.value + kFirmwareAcpi},
      {kRuntimeProperties, area.value + kProperties},
      {kMemoryReserve, area.value + kReserve},
  };
  Put(efi.bytes, kTables, tables);
  Put(efi.bytes, kVendor, u"kvmlet");
  Put(efi.bytes, kProperties, RuntimeProperties{});
  Put(efi.bytes, kReserve, MemoryReserve{});
  SystemTable system{.vendor = area.value + kVendor,
                     .tables = std::size(tables),
                     .table = area.value + kTables};
  Bytes signed_bytes;
  AppendObject(signed_bytes, system);
  system.crc = static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(signed_bytes.data()),
            static_cast<uInt>(signed_bytes.size())));
  Put(efi.bytes, 0, system);
  const std::vector<Descriptor> map = MemoryMap(ram, area);
  for (size_t i = 0; i < map.size(); ++i) {
    Put(efi.bytes, kMap + i * sizeof(Descriptor), map[i]);
  }
  efi.places = {.area = AddressRange::Make(area.value, kFirmwareSize),
                .system_table = area,
                .memory_map = area + kMap,
                .memory_map_size =
                    static_cast<uint32_t>(map.size() * sizeof(Descriptor))};
  return efi;
}

}  // namespace kvmlet::arch::arm64
