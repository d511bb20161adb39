// SPDX-License-Identifier: Apache-2.0
// One vCPU's part of the debugger: arms it before it enters the guest, and
// looks at every debug exit: a step that goes on, a breakpoint that is stepped
// over, an exception that is the guest's own, or a stop to be told.
//
// Threads: OnExit, OnAccess and OnCaught on the vCPU's thread; Prepare,
// BreakOff and Disarm there, or on another while that waits outside the guest;
// the rest on the main loop's thread while the vCPU is outside the guest. The
// two never overlap, so nothing here is locked.
#ifndef KVMLET_VMM_DEBUG_VCPU_DEBUG_H_
#define KVMLET_VMM_DEBUG_VCPU_DEBUG_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "arch/debug.h"
#include "vmm/debug/breakpoints.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

// What one vCPU is to do when the machine runs again.
struct VcpuAction {
  enum class Kind { kStay, kContinue, kStep, kRange };
  Kind kind = Kind::kStay;
  // kRange: steps while the program counter is in [start, end).
  uint64_t start = 0;
  uint64_t end = 0;
};

struct VcpuStop {
  enum class Reason {
    kStep,
    kSteppedOver,  // of the debugger's own accord, not for the client
    kSoftware,     // an inserted breakpoint, wherever it lives
    kHardware,
    kWatch,
    kCaught,   // an exit that the client wants to hear of
    kPassing,  // its condition is false: to be stepped over, not told
    kFailed,   // KVM refused to be armed
  };
  Reason reason = Reason::kStep;
  uint64_t pc = 0;
  BreakpointKey key{};  // kWatch
  // kCaught: by which one, and the exit.
  uint32_t caught = 0;
  std::string text{};
};

// Shared by all vCPUs, for `monitor stats`.
struct DebugStats {
  std::atomic<uint64_t> exits{0};
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> conditions{0};  // that were judged
  std::atomic<uint64_t> guests_own{0};
};

class VcpuDebug {
 public:
  struct Context {
    const arch::Debug& arch;
    const GuestMemory& memory;
    const Breakpoints& breakpoints;
    DebugStats& stats;
  };
  explicit VcpuDebug(const Context& context) : context_(context) {}

  void set_action(const VcpuAction& action) { action_ = action; }
  const VcpuAction& action() const { return action_; }
  // One step past the breakpoint that was lifted for it.
  void set_over(bool over) { over_ = over; }
  // Steps let interrupts in as well.
  void set_step_interrupts(bool on) { step_interrupts_ = on; }

  // On the vCPU's thread, last before it runs.
  absl::Status Prepare(const KvmVcpu& vcpu);
  // True: enter the guest again. False: stop() says why not.
  bool OnExit(const KvmVcpu& vcpu);
  // The same, after a device answered the guest.
  bool OnAccess(const KvmVcpu& vcpu);
  // A caught exit was handled; the first of several is told. A step that is
  // under way ends with it.
  void OnCaught(uint32_t number, std::string exit);
  // Ends a step that another vCPU's stop interrupted, so that it begins again
  // when the vCPU goes on.
  void Interrupt(const KvmVcpu& vcpu);
  void BreakOff(const KvmVcpu& vcpu);
  // Nothing of the debugger is left on the vCPU.
  absl::Status Disarm(const KvmVcpu& vcpu);
  // From an exit that was caught on until the client goes on from it. Any
  // thread.
  bool caught() const { return caught_.load(); }
  void set_caught(bool on) { caught_ = on; }
  bool stepping() const { return step_.has_value(); }
  bool needs_prepare() const;

  const std::optional<VcpuStop>& stop() const { return stop_; }
  void ClearStop() { stop_.reset(); }
  // A stop was told with the vCPU at this address: going on from there
  // passes a breakpoint that is inserted there by then.
  void set_told_at(std::optional<uint64_t> pc) { told_at_ = pc; }
  const std::optional<uint64_t>& told_at() const { return told_at_; }

 private:
  absl::Status Arm(const KvmVcpu& vcpu, const arch::DebugControl& control);
  absl::Status StartStep(const KvmVcpu& vcpu);
  bool HitsAgainAt(uint64_t pc) const;
  bool AfterStep(const KvmVcpu& vcpu, uint64_t pc);
  bool OnSlot(const KvmVcpu& vcpu, const arch::DebugEvent& event);
  bool OnInstruction(const KvmVcpu& vcpu, const arch::DebugEvent& event);
  bool Meant(const KvmVcpu& vcpu, const Breakpoint& breakpoint) const;
  bool GiveBack(const KvmVcpu& vcpu, const arch::DebugEvent& event);
  bool Stop(const KvmVcpu& vcpu, VcpuStop stop);
  bool Try(const KvmVcpu& vcpu, const absl::Status& status);

  const Context context_;
  VcpuAction action_;
  bool over_ = false;
  bool step_interrupts_ = false;
  bool passing_ = false;  // a step past a slot, then on with the action
  std::optional<uint64_t> told_at_;
  // A watchpoint stopped it here, before the access that is still to come.
  std::optional<uint64_t> watched_at_;
  std::optional<VcpuStop> stop_;
  std::atomic<bool> caught_{false};
  arch::DebugControl armed_;
  std::optional<arch::DebugStep> step_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_VCPU_DEBUG_H_
