// SPDX-License-Identifier: Apache-2.0
// Runs a vCPU on this thread until it exits, but no longer than a budget: for
// the doctor's probe, whose guest may be emulated a thousand times too slowly.
// One at a time in a process: it takes SIGALRM.
#ifndef KVMLET_ARCH_COMMON_RUN_BOUNDED_H_
#define KVMLET_ARCH_COMMON_RUN_BOUNDED_H_

#include <chrono>

#include "vmm/kvm/kvm_vcpu.h"

namespace kvmlet::arch {

struct BoundedRun {
  // KVM_RUN's errno: 0 after an exit, EINTR when the budget was over.
  int error = 0;
  std::chrono::duration<double> took{};
};
BoundedRun RunBounded(const KvmVcpu& vcpu, std::chrono::milliseconds budget);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_RUN_BOUNDED_H_
