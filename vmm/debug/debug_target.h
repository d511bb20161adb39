// SPDX-License-Identifier: Apache-2.0
// What the debugger needs of the machine it debugs: its vCPUs, its memory, and
// a few of its verbs. Machine implements it.
//
// Threads: the main loop's thread, but Post, which any thread may call.
#ifndef KVMLET_VMM_DEBUG_DEBUG_TARGET_H_
#define KVMLET_VMM_DEBUG_DEBUG_TARGET_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/stats.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

class DebugTarget {
 public:
  virtual ~DebugTarget() = default;
  virtual size_t vcpu_count() const = 0;
  virtual const GuestMemory& memory() const = 0;
  // Brings every vCPU out of the guest and keeps it there for the debugger;
  // whoever else paused the machine is not asked.
  virtual void StopForDebugger() = 0;
  // The debugger's hold on this vCPU is over.
  virtual void ResumeForDebugger(size_t vcpu) = 0;
  // How often each vCPU left the guest for the monitor, and why.
  virtual std::vector<StatsGroup> CountedExits() const = 0;
  // While the vCPU is outside the guest: on its thread, or on this one while
  // that waits.
  virtual void RunOnVcpu(size_t vcpu,
                         const std::function<void(KvmVcpu&)>& function) = 0;
  // The guest crashed and the debugger has seen enough of it.
  virtual void EndCrashed() = 0;
  virtual absl::Status ResetFromDebugger() = 0;
  virtual void QuitFromDebugger() = 0;
  // How far the running kernel is from its file's addresses, as this vCPU has
  // it, for people: lines of text. Errors say what is missing.
  virtual absl::StatusOr<std::string> KernelOffsetText(size_t vcpu) = 0;
  virtual void Post(std::function<void()> function) = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_DEBUG_TARGET_H_
