// SPDX-License-Identifier: Apache-2.0
// A vCPU under the debugger's own code (VcpuDebug, Breakpoints), without its
// threads and its protocol: steps, runs, breakpoints, one call each, on every
// ISA. A guest says that it is through by a write to GuestCode::kUnclaimed,
// and that something went wrong in it by one to kUnclaimed + 8.
#ifndef KVMLET_TESTS_KVM_DEBUGGED_VCPU_H_
#define KVMLET_TESTS_KVM_DEBUGGED_VCPU_H_

#include <cstdint>
#include <ostream>

#include "arch/debug.h"
#include "vmm/debug/breakpoints.h"
#include "vmm/debug/vcpu_debug.h"

namespace kvmlet {

// What this host's KVM really does: probed once a process.
const arch::Debug& ProbedDebug();

class DebuggedVcpu {
 public:
  struct Outcome {
    enum class End { kStop, kDone, kLost };
    End end = End::kLost;
    VcpuStop stop{};           // kStop
    uint32_t exit_reason = 0;  // kLost: KVM's, or 0 when the guest said so
    friend std::ostream& operator<<(std::ostream& out, const Outcome& outcome);
  };

  // Both outlive it.
  DebuggedVcpu(const KvmVcpu& vcpu, const GuestMemory& memory)
      : vcpu_(vcpu), memory_(memory) {}

  Outcome Step() { return Go(VcpuAction::Kind::kStep); }
  Outcome Continue() { return Go(VcpuAction::Kind::kContinue); }
  // As if there were no debugger.
  Outcome RunUndebugged();
  void Disarm();

  // False: refused.
  bool Insert(BreakpointType type, uint64_t address, uint64_t length);
  void RemoveAll() { breakpoints_.RemoveAll(); }
  const Breakpoints& breakpoints() const { return breakpoints_; }
  uint64_t guests_own() const { return stats_.guests_own; }

 private:
  Outcome Go(VcpuAction::Kind kind);
  Outcome Enter();
  Outcome Stopped();
  void FinishAccess() const;

  const KvmVcpu& vcpu_;
  const GuestMemory& memory_;
  Breakpoints breakpoints_{ProbedDebug(), memory_};
  DebugStats stats_;
  VcpuDebug debug_{{.arch = ProbedDebug(),
                    .memory = memory_,
                    .breakpoints = breakpoints_,
                    .stats = stats_}};
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_DEBUGGED_VCPU_H_
