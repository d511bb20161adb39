// SPDX-License-Identifier: Apache-2.0
// The ACPI tables of the x86-64 machine: RSDP, XSDT, hardware-reduced FADT,
// MADT, MCFG, DSDT, and SRAT and SLIT when there are NUMA nodes. Pure
// functions, thread-safe; units are bytes; errors are one line. ACPI 6.3,
// chapter 5.
#ifndef KVMLET_ARCH_X86_64_ACPI_H_
#define KVMLET_ARCH_X86_64_ACPI_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "arch/common/acpi_machine.h"
#include "arch/common/bytes.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::x86_64 {

// The part of the machine that layout.h fixes: PCI with its windows, the event
// device, COM1, the exit device, pvpanic, the clock. The caller adds the CPUs
// and NUMA nodes and removes what this machine leaves out. A mmio64 of size
// zero means no such window.
AcpiMachine FixedAcpiMachine(const AcpiRange& mmio64);

struct AcpiBlob {
  Bytes bytes;  // to be copied to `base`, RSDP first
  Gpa rsdp;
};

// Builds the tables for the `limit` bytes from `base`; ResourceExhausted when
// they do not fit. They may then lie in any reserved memory: the kernel is told
// of the RSDP, and its kRsdpSize bytes may be copied to kAcpiTables too for
// those who search there.
absl::StatusOr<AcpiBlob> BuildAcpi(const AcpiMachine& machine, Gpa base,
                                   uint64_t limit);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_ACPI_H_
