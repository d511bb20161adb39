// SPDX-License-Identifier: Apache-2.0
#include "arch/common/topology.h"

#include "arch/arch.h"

namespace kvmlet::arch {

CpuTopology ResolveTopology(const CpuConfig& cpus) {
  CpuTopology t;
  t.count = cpus.count;
  t.threads = cpus.threads != 0 ? cpus.threads : 1;
  t.sockets = cpus.sockets != 0 ? cpus.sockets : 1;
  if (cpus.cores != 0) {
    t.cores = cpus.cores;
    if (cpus.sockets == 0) {
      t.sockets = (t.count + t.cores * t.threads - 1) / (t.cores * t.threads);
    }
  } else {
    t.cores = (t.count + t.sockets * t.threads - 1) / (t.sockets * t.threads);
  }
  return t;
}

// Of the contract, and the same on every ISA.
VcpuTopology TopologyOf(const CpuConfig& cpus, uint32_t index) {
  const CpuTopology t = ResolveTopology(cpus);
  return {.socket = index / t.threads / t.cores,
          .core = index / t.threads % t.cores,
          .thread = index % t.threads};
}

}  // namespace kvmlet::arch
