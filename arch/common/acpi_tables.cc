// SPDX-License-Identifier: Apache-2.0
#include "arch/common/acpi_tables.h"

#include <glog/logging.h>

#include <array>
#include <cstring>

#include "absl/strings/str_format.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

using Id4 = std::array<char, 4>;
using Id6 = std::array<char, 6>;
using Id8 = std::array<char, 8>;

constexpr Id6 kOemId = {'K', 'V', 'M', 'L', 'E', 'T'};
constexpr Id8 kOemTableId = {'K', 'V', 'M', 'L', 'E', 'T', 'V', 'M'};
constexpr Id4 kCreatorId = {'K', 'V', 'M', 'L'};
constexpr Id8 kHypervisorVendor = {'K', 'V', 'M', 'L', 'E', 'T', 0, 0};

struct [[gnu::packed]] TableHeader {
  Id4 signature{};
  uint32_t length = 0;
  uint8_t revision = 0;
  uint8_t checksum = 0;
  Id6 oem_id = kOemId;
  Id8 oem_table_id = kOemTableId;
  uint32_t oem_revision = 1;
  Id4 creator_id = kCreatorId;
  uint32_t creator_revision = 1;
};
static_assert(sizeof(TableHeader) == 36);

struct [[gnu::packed]] Rsdp {
  Id8 signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  uint8_t checksum = 0;  // of the first 20 bytes
  Id6 oem_id = kOemId;
  uint8_t revision = 2;
  uint32_t rsdt = 0;
  uint32_t length = kRsdpSize;
  uint64_t xsdt = 0;
  uint8_t extended_checksum = 0;
  uint8_t reserved[3] = {};
};
static_assert(sizeof(Rsdp) == kRsdpSize);
constexpr size_t kRsdpVersion1Size = 20;

constexpr GenericAddress ByteInMemory(Gpa at) {
  return {.bit_width = 8, .access_size = 1, .address = at.value};
}

// Table 5-33, without the header. Hardware-reduced machines leave all of the
// fixed hardware's fields zero.
struct [[gnu::packed]] FadtBody {
  uint32_t firmware_control = 0;
  uint32_t dsdt = 0;
  uint8_t reserved_44 = 0;
  uint8_t preferred_profile = 0;
  uint16_t sci_interrupt = 0;
  uint8_t fixed_hardware_48[60] = {};
  uint8_t century = 0;
  uint16_t x86_boot_flags = 0;
  uint8_t reserved_111 = 0;
  uint32_t flags = 0;
  GenericAddress reset;
  uint8_t reset_value = 0;
  uint16_t arm_boot_flags = 0;
  uint8_t minor_version = 3;
  uint64_t x_firmware_control = 0;
  uint64_t x_dsdt = 0;
  GenericAddress fixed_hardware_148[8];
  GenericAddress sleep_control;
  GenericAddress sleep_status;
  Id8 hypervisor_vendor = kHypervisorVendor;
};
static_assert(sizeof(FadtBody) == 276 - sizeof(TableHeader));

// Table 5-34, "Fixed ACPI Description Table Fixed Feature Flags".
constexpr uint32_t kFadtWbinvd = 1u << 0;
constexpr uint32_t kFadtNoFixedPowerButton = 1u << 4;
constexpr uint32_t kFadtNoFixedSleepButton = 1u << 5;
constexpr uint32_t kFadtNoFixedRtcWake = 1u << 6;
constexpr uint32_t kFadtResetRegister = 1u << 10;
constexpr uint32_t kFadtHardwareReduced = 1u << 20;

struct [[gnu::packed]] McfgBody {
  uint64_t reserved = 0;
  uint64_t base = 0;
  uint16_t segment = 0;
  uint8_t first_bus = 0;
  uint8_t last_bus = 0;
  uint32_t reserved_end = 0;
};
static_assert(sizeof(McfgBody) == 24);

// 5.2.16.2 "Memory Affinity Structure".
struct [[gnu::packed]] MemoryAffinity {
  uint8_t type = 1;
  uint8_t length = 40;
  uint32_t node = 0;
  uint16_t reserved_6 = 0;
  uint64_t base = 0;
  uint64_t size = 0;
  uint32_t reserved_24 = 0;
  uint32_t flags = 0;
  uint64_t reserved_32 = 0;
};
static_assert(sizeof(MemoryAffinity) == 40);
constexpr uint32_t kMemoryEnabled = 1u << 0;
constexpr uint32_t kMemoryHotPluggable = 1u << 1;

constexpr uint8_t kFadtRevision = 6;
constexpr uint8_t kXsdtRevision = 1;
constexpr uint8_t kMadtRevision = 5;
constexpr uint8_t kMcfgRevision = 1;
constexpr uint8_t kSratRevision = 3;
constexpr uint8_t kSlitRevision = 1;

constexpr uint8_t kLocalDistance = 10;
constexpr uint8_t kRemoteDistance = 20;
constexpr size_t kTableAlignment = 16;

}  // namespace

void SetChecksum(std::span<std::byte> table, size_t offset) {
  CHECK_LT(offset, table.size());
  table[offset] = std::byte{0};
  unsigned sum = 0;
  for (const std::byte byte : table) sum += static_cast<unsigned>(byte);
  table[offset] = static_cast<std::byte>(-sum & 0xff);
}

Bytes BuildTable(std::string_view signature, uint8_t revision,
                 std::span<const std::byte> body) {
  TableHeader header;
  CHECK_EQ(signature.size(), header.signature.size());
  std::memcpy(header.signature.data(), signature.data(), signature.size());
  header.length = static_cast<uint32_t>(sizeof(header) + body.size());
  header.revision = revision;
  Bytes out = ObjectBytes(header);
  Append(out, body);
  SetChecksum(out, offsetof(TableHeader, checksum));
  return out;
}

Bytes BuildRsdp(Gpa xsdt) {
  Bytes out = ObjectBytes(Rsdp{.xsdt = xsdt.value});
  SetChecksum(std::span(out).first(kRsdpVersion1Size),
              offsetof(Rsdp, checksum));
  SetChecksum(out, offsetof(Rsdp, extended_checksum));
  return out;
}

Bytes BuildXsdt(std::span<const Gpa> tables) {
  Bytes body;
  for (const Gpa table : tables) AppendObject(body, table.value);
  return BuildTable("XSDT", kXsdtRevision, body);
}

Bytes BuildFadt(const Fadt& fadt) {
  FadtBody body;
  body.sci_interrupt = fadt.sci_interrupt;
  body.century = fadt.century_register;
  body.x86_boot_flags = fadt.x86_boot_flags;
  body.arm_boot_flags = fadt.arm_boot_flags;
  body.flags = kFadtNoFixedPowerButton | kFadtNoFixedSleepButton |
               kFadtNoFixedRtcWake | kFadtResetRegister | kFadtHardwareReduced;
  if (fadt.wbinvd_works) body.flags |= kFadtWbinvd;
  body.reset = ByteInMemory(fadt.reset);
  body.reset_value = fadt.reset_value;
  body.x_dsdt = fadt.dsdt.value;
  body.sleep_control = ByteInMemory(fadt.sleep_control);
  body.sleep_status = ByteInMemory(fadt.sleep_status);
  return BuildTable("FACP", kFadtRevision, ObjectBytes(body));
}

Bytes BuildMadt(uint32_t local_controller, uint32_t flags,
                std::span<const std::byte> entries) {
  Bytes body = ObjectBytes(local_controller);
  AppendObject(body, flags);
  Append(body, entries);
  return BuildTable("APIC", kMadtRevision, body);
}

Bytes BuildMcfg(const AcpiRange& ecam) {
  constexpr uint64_t kBusSize = uint64_t{1} << 20;
  McfgBody body;
  body.base = ecam.base;
  body.last_bus = static_cast<uint8_t>(ecam.size / kBusSize - 1);
  return BuildTable("MCFG", kMcfgRevision, ObjectBytes(body));
}

Bytes BuildSrat(std::span<const std::byte> cpu_entries,
                std::span<const AcpiNode> nodes) {
  Bytes body = ObjectBytes(uint32_t{1});  // reserved, "must be 1"
  AppendObject(body, uint64_t{0});
  Append(body, cpu_entries);
  for (size_t node = 0; node < nodes.size(); ++node) {
    for (const AcpiMemory& memory : nodes[node].memory) {
      AppendObject(
          body,
          MemoryAffinity{.node = static_cast<uint32_t>(node),
                         .base = memory.range.base,
                         .size = memory.range.size,
                         .flags = kMemoryEnabled |
                                  (memory.hotplug ? kMemoryHotPluggable : 0)});
    }
  }
  return BuildTable("SRAT", kSratRevision, body);
}

Bytes BuildSlit(std::span<const AcpiNode> nodes) {
  Bytes body = ObjectBytes(uint64_t{nodes.size()});
  for (size_t from = 0; from < nodes.size(); ++from) {
    const std::vector<uint8_t>& distances = nodes[from].distances;
    for (size_t to = 0; to < nodes.size(); ++to) {
      const uint8_t usual = from == to ? kLocalDistance : kRemoteDistance;
      AppendByte(body, distances.empty() ? usual : distances[to]);
    }
  }
  return BuildTable("SLIT", kSlitRevision, body);
}

absl::StatusOr<Gpa> AcpiPlacer::Place(const Bytes& table) {
  const size_t at =
      (bytes_.size() + kTableAlignment - 1) / kTableAlignment * kTableAlignment;
  if (at > limit_ || table.size() > limit_ - at) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "ACPI: the tables need more than the 0x%x bytes at 0x%x: use fewer "
        "CPUs (--cpus)",
        limit_, base_.value));
  }
  bytes_.resize(at);
  Append(bytes_, table);
  return base_ + at;
}

absl::StatusOr<Bytes> AcpiPlacer::Finish(std::span<const Gpa> tables) && {
  KVMLET_ASSIGN_OR_RETURN(const Gpa xsdt, Place(BuildXsdt(tables)));
  const Bytes rsdp = BuildRsdp(xsdt);
  std::memcpy(bytes_.data(), rsdp.data(), rsdp.size());
  return std::move(bytes_);
}

}  // namespace kvmlet::arch
