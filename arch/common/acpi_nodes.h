// SPDX-License-Identifier: Apache-2.0
// The NUMA nodes of a machine as ACPI tells them: which CPUs and which RAM
// belong to a node, and the ranges there that may be filled later. It turns
// the configuration and the memory plan into AcpiMachine's nodes. A pure
// function, thread-safe; units are bytes; it cannot fail, as the configuration
// was checked. ACPI 6.3, 5.2.16 "System Resource Affinity Table".
#ifndef KVMLET_ARCH_COMMON_ACPI_NODES_H_
#define KVMLET_ARCH_COMMON_ACPI_NODES_H_

#include "arch/arch.h"
#include "arch/common/acpi_machine.h"
#include "vmm/config.h"

namespace kvmlet::arch {

// Fills machine.nodes and the node of each of machine.cpus, which the caller
// has put there in the order of their indices. Nothing without --numa.
void DescribeNodes(const VmConfig& config, const MemoryPlan& plan,
                   AcpiMachine& machine);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_ACPI_NODES_H_
