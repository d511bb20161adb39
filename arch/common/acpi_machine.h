// SPDX-License-Identifier: Apache-2.0
// What the ACPI tables say about a machine, as plain data: the machine is
// described here once, and the table builders turn it into bytes. A part that
// the machine does not have is left empty. Units are bytes; addresses are
// guest-physical or I/O ports.
#ifndef KVMLET_ARCH_COMMON_ACPI_MACHINE_H_
#define KVMLET_ARCH_COMMON_ACPI_MACHINE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "vmm/bus/address_range.h"

namespace kvmlet::arch {

struct AcpiRange {
  uint64_t base = 0;
  uint64_t size = 0;
};

inline AcpiRange ToAcpi(const AddressRange& range) {
  return {range.base(), range.size()};
}

// A global system interrupt and how the device drives it.
struct AcpiInterrupt {
  uint32_t gsi = 0;
  bool level = true;
  bool active_low = false;
};

// Registers in I/O ports or in memory.
enum class AcpiSpace { kIo, kMemory };
struct AcpiRegisters {
  AcpiSpace space = AcpiSpace::kIo;
  AcpiRange range{};
};

struct AcpiCpu {
  uint32_t uid = 0;          // the same in the MADT and in the DSDT
  uint64_t hardware_id = 0;  // x86: APIC id; arm64: MPIDR
  uint32_t node = 0;         // index into AcpiMachine::nodes
};

struct AcpiMemory {
  AcpiRange range{};
  // May be filled later (virtio-mem) instead of being RAM at boot.
  bool hotplug = false;
};

struct AcpiNode {
  std::vector<AcpiMemory> memory{};
  // To every node, itself included; empty means 10 and 20.
  std::vector<uint8_t> distances{};
};

// Slots whose devices come and go, a bit each, and the registers for it, laid
// out as in devices/platform/pci_hotplug.h.
struct AcpiPciHotplug {
  AcpiRange registers{};
  uint32_t slots = 0;
};

struct AcpiPci {
  AcpiRange ecam{};  // 1 MiB a bus, from bus 0
  AcpiRange io{};    // size 0: none
  AcpiRange mmio32{};
  AcpiRange mmio64{};  // size 0: none
  // INTA# of slot 0; slot and pin swizzle onto four interrupts from here.
  uint32_t intx_gsi = 0;
  uint32_t node = 0;  // the NUMA node that the root bus is near
  // Where the ISA has port access to the config space.
  std::optional<uint16_t> config_port{};
  std::optional<AcpiPciHotplug> hotplug{};
  // arm64: devices snoop the CPU's caches, and must say so.
  bool say_coherent = false;
};

struct AcpiSerial {
  uint32_t uid = 0;
  AcpiRegisters registers{};  // of a 16550
  AcpiInterrupt interrupt{};
};

// The generic event device and the registers in its MMIO block, laid out as
// in devices/platform/acpi_ged.h.
struct AcpiEvents {
  AcpiRange registers{};
  AcpiInterrupt interrupt{};
};

struct AcpiMachine {
  std::vector<AcpiCpu> cpus{};
  std::vector<AcpiNode> nodes{};  // empty: no NUMA tables
  AcpiPci pci{};
  AcpiEvents events{};
  std::vector<AcpiSerial> serials{};
  std::optional<AcpiRegisters> exit_device{};
  std::optional<AcpiRegisters> pvpanic{};
  std::optional<AcpiRegisters> rtc{};  // an MC146818 without alarm interrupt
  // Further address ranges that no driver may claim.
  std::vector<AcpiRange> reserved{};

  // Checks what the tables cannot express or a guest would refuse; the error
  // is one line.
  absl::Status Validate() const;
};

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_ACPI_MACHINE_H_
