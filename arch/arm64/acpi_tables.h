// SPDX-License-Identifier: Apache-2.0
// Builders of the ACPI tables that only arm64 has, or has in its own way, one
// function a table: each returns the finished table with its checksum. They
// tell what fdt.h tells. Pure functions, thread-safe; addresses are
// guest-physical; they cannot fail. ACPI 6.3, chapter 5, unless a function
// names another specification.
#ifndef KVMLET_ARCH_ARM64_ACPI_TABLES_H_
#define KVMLET_ARCH_ARM64_ACPI_TABLES_H_

#include <cstdint>

#include "arch/arm64/fdt.h"
#include "arch/common/acpi_machine.h"
#include "arch/common/bytes.h"

namespace kvmlet::arch::arm64 {

// 5.2.12.14 to 5.2.12.18: processors, GIC, and where MSIs go.
Bytes BuildArmMadt(const FdtMachine& machine);

// 5.2.24 "Generic Timer Description Table".
Bytes BuildGtdt();

// 5.2.29 "Processor Properties Topology Table": sockets, cores, threads, and a
// unified cache for each socket.
Bytes BuildPptt(const FdtMachine& machine);

// Serial Port Console Redirection Table, revision 2 (Microsoft).
Bytes BuildSpcr();

// IO Remapping Table, revision D (Arm DEN0049), for machines with an ITS: the
// PCI root's requester ids are the ITS's device ids.
Bytes BuildIort();

// 5.2.16, with the GIC's own structures.
Bytes BuildArmSrat(const FdtMachine& machine, const AcpiMachine& acpi);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_ACPI_TABLES_H_
