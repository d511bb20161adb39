// SPDX-License-Identifier: Apache-2.0
// Builders of the ACPI tables that are plain data, one function a table: each
// returns the finished table with its checksum. Pure functions, thread-safe;
// addresses are guest-physical. The sections named are those of ACPI 6.3.
#ifndef KVMLET_ARCH_COMMON_ACPI_TABLES_H_
#define KVMLET_ARCH_COMMON_ACPI_TABLES_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "arch/common/acpi_machine.h"
#include "arch/common/bytes.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch {

// 5.2.3.2 "Generic Address Structure", in memory unless `space` says otherwise.
struct [[gnu::packed]] GenericAddress {
  uint8_t space = 0;
  uint8_t bit_width = 0;
  uint8_t bit_offset = 0;
  uint8_t access_size = 0;
  uint64_t address = 0;
};
static_assert(sizeof(GenericAddress) == 12);

// Makes all bytes of `table` sum up to zero by setting the one at `offset`.
void SetChecksum(std::span<std::byte> table, size_t offset);

// 5.2.6 "System Description Table Header": the header around `body`.
Bytes BuildTable(std::string_view signature, uint8_t revision,
                 std::span<const std::byte> body);

// 5.2.5 "Root System Description Pointer". Only its bytes name the XSDT, so it
// may be copied anywhere.
inline constexpr uint64_t kRsdpSize = 36;
Bytes BuildRsdp(Gpa xsdt);

// 5.2.8.
Bytes BuildXsdt(std::span<const Gpa> tables);

// 5.2.9 "Fixed ACPI Description Table", hardware-reduced, with sleep and reset
// registers of one byte each in memory.
struct Fadt {
  Gpa dsdt{};
  Gpa sleep_control{};
  Gpa sleep_status{};
  Gpa reset{};
  uint8_t reset_value = 0;
  uint16_t sci_interrupt = 0;
  uint8_t century_register = 0;  // in the RTC's memory; 0: none
  uint16_t x86_boot_flags = 0;   // IAPC_BOOT_ARCH
  uint16_t arm_boot_flags = 0;   // ARM_BOOT_ARCH
  bool wbinvd_works = false;     // must be true on x86
};
Bytes BuildFadt(const Fadt& fadt);

// 5.2.12 "Multiple APIC Description Table"; `entries` are the structures of
// the ISA's interrupt controller.
Bytes BuildMadt(uint32_t local_controller, uint32_t flags,
                std::span<const std::byte> entries);

// PCI Firmware Specification 3.2, 4.1.2: one segment.
Bytes BuildMcfg(const AcpiRange& ecam);

// 5.2.16 "System Resource Affinity Table": `cpu_entries` are of the ISA's own
// kind, the memory entries come from the nodes.
Bytes BuildSrat(std::span<const std::byte> cpu_entries,
                std::span<const AcpiNode> nodes);

// 5.2.17 "System Locality Information Table".
Bytes BuildSlit(std::span<const AcpiNode> nodes);

// Places tables one after another in an area, RSDP first. Not thread-safe.
class AcpiPlacer {
 public:
  AcpiPlacer(Gpa base, uint64_t limit) : base_(base), limit_(limit) {}

  // The address the table will have. ResourceExhausted when the area is full.
  absl::StatusOr<Gpa> Place(const Bytes& table);
  // Writes the XSDT of `tables` and the RSDP; returns the area's bytes.
  absl::StatusOr<Bytes> Finish(std::span<const Gpa> tables) &&;

 private:
  Gpa base_;
  uint64_t limit_;
  Bytes bytes_ = Bytes(kRsdpSize);
};

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_ACPI_TABLES_H_
