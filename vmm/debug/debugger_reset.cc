// SPDX-License-Identifier: Apache-2.0
// What the debugger does about a guest that begins anew.
#include <glog/logging.h>

#include <optional>

#include "vmm/debug/debugger.h"

namespace kvmlet {

void Debugger::OnReset() {
  ForgetSpaces();
  lifted_.reset();
  crashed_ = false;
  pending_crash_.reset();
  // Stops that are on their way are those of a guest that is no more.
  ++generation_;
  const auto space = Space(0);
  if (space.ok()) breakpoints_.OnMemoryReplaced(**space);
  std::optional<size_t> stepped;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    VcpuDebug& vcpu = *vcpus_[i];
    vcpu.set_told_at(std::nullopt);
    vcpu.ClearStop();
    vcpu.set_over(false);
    vcpu.set_caught(false);
    requests_[i] = nullptr;
    if (held(i)) continue;
    if (vcpu.action().kind != VcpuAction::Kind::kContinue) stepped = i;
    vcpu.set_action({.kind = VcpuAction::Kind::kContinue});
    if (!stopped_) Relaunch(i);
  }
  if (stepped && !stopped_) StopAfterReset(*stepped);
}

// It may have been on its way to a stop, or have waited for another's step.
void Debugger::Relaunch(size_t vcpu) {
  target_.RunOnVcpu(vcpu, [this, vcpu](KvmVcpu& kvm) {
    vcpus_[vcpu]->BreakOff(kvm);
    if (!vcpus_[vcpu]->needs_prepare()) return;
    const absl::Status status = vcpus_[vcpu]->Prepare(kvm);
    LOG_IF(WARNING, !status.ok()) << "debugger: " << status.message();
  });
  target_.ResumeForDebugger(vcpu);
}

// A step into a reset ends at the first instruction.
void Debugger::StopAfterReset(size_t vcpu) {
  if (non_stop_) {
    Hold();
    HoldVcpu(vcpu, DebugSignal::kTrap);
    return Release();
  }
  Freeze();
  Tell({.signal = DebugSignal::kTrap, .vcpu = vcpu});
}

}  // namespace kvmlet
