// SPDX-License-Identifier: Apache-2.0
// The ACPI tables of the arm64 machine: RSDP, XSDT, hardware-reduced FADT,
// MADT, GTDT, PPTT, SPCR, MCFG, IORT, HEST, DSDT, and SRAT and SLIT when there
// are NUMA nodes. They describe the machine that fdt.h describes, from the same
// FdtMachine. Pure functions, thread-safe; units are bytes; errors are one
// line. ACPI 6.3, chapter 5; Arm DEN0049 (IORT); Microsoft's SPCR.
#ifndef KVMLET_ARCH_ARM64_ACPI_H_
#define KVMLET_ARCH_ARM64_ACPI_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "arch/arm64/fdt.h"
#include "arch/common/acpi_machine.h"
#include "arch/common/bytes.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::arm64 {

// What the AML and the tables of every ISA tell: the part that layout.h fixes,
// and the CPUs of `machine`. The caller adds the NUMA nodes.
AcpiMachine DescribeAcpi(const FdtMachine& machine);

// The tables for the `limit` bytes from `base`, RSDP first; ResourceExhausted
// when they do not fit. `hest` names the error sources, see error_source.h.
absl::StatusOr<Bytes> BuildAcpi(const FdtMachine& machine,
                                const AcpiMachine& acpi, Bytes hest, Gpa base,
                                uint64_t limit);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_ACPI_H_
