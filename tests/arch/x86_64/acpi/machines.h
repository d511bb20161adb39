// SPDX-License-Identifier: Apache-2.0
// Machines to describe, shared by the tests of the x86-64 tables: plain
// functions without state.
#ifndef KVMLET_TESTS_ARCH_X86_64_ACPI_MACHINES_H_
#define KVMLET_TESTS_ARCH_X86_64_ACPI_MACHINES_H_

#include <cstdint>

#include "arch/x86_64/acpi.h"

namespace kvmlet::arch::x86_64 {

inline constexpr AcpiRange kMmio64 = {0x8000000000, 0x8000000000};

// `cpus` and 1 GiB of memory a node, dealt out in turn over `nodes`. APIC ids
// leave a gap after every 12, as 12 cores a socket would.
inline AcpiMachine TestMachine(uint32_t cpus, uint32_t nodes) {
  AcpiMachine machine = FixedAcpiMachine(kMmio64);
  for (uint32_t i = 0; i < cpus; ++i) {
    machine.cpus.push_back({.uid = i,
                            .hardware_id = i / 12 * 16 + i % 12,
                            .node = nodes == 0 ? 0 : i % nodes});
  }
  for (uint32_t node = 0; node < nodes; ++node) {
    const uint64_t base = uint64_t{node} << 30;
    machine.nodes.push_back({.memory = {{.range = {base, uint64_t{1} << 30}}}});
  }
  return machine;
}

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_TESTS_ARCH_X86_64_ACPI_MACHINES_H_
