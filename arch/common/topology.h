// SPDX-License-Identifier: Apache-2.0
// How many sockets, cores and threads the guest's CPUs are arranged in. Pure
// functions, thread-safe.
#ifndef KVMLET_ARCH_COMMON_TOPOLOGY_H_
#define KVMLET_ARCH_COMMON_TOPOLOGY_H_

#include <cstdint>

#include "vmm/config.h"

namespace kvmlet::arch {

struct CpuTopology {
  uint32_t count = 1;
  uint32_t sockets = 1;
  uint32_t cores = 1;    // per socket
  uint32_t threads = 1;  // per core
};

// Fills what the configuration left open: one socket with `count` cores.
CpuTopology ResolveTopology(const CpuConfig& cpus);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_TOPOLOGY_H_
