// SPDX-License-Identifier: Apache-2.0
// How vCPUs are numbered: socket, core and thread become bit fields of the
// APIC id, each as wide as its count needs. Pure functions, thread-safe.
// Specification: Intel SDM volume 3, "Hierarchical Mapping of Shared
// Resources"; AMD APM volume 3, appendix E.
#ifndef KVMLET_ARCH_X86_64_TOPOLOGY_H_
#define KVMLET_ARCH_X86_64_TOPOLOGY_H_

#include <cstdint>

#include "arch/common/topology.h"
#include "vmm/config.h"

namespace kvmlet::arch::x86_64 {

struct Topology : CpuTopology {
  uint32_t thread_bits() const;
  uint32_t package_bits() const;  // thread and core bits together
  uint32_t ApicId(uint32_t index) const;
};

Topology ResolveTopology(const CpuConfig& cpus);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_TOPOLOGY_H_
