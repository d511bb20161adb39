// SPDX-License-Identifier: Apache-2.0
// vCPUs that stop and go on each for itself. Whatever happens is looked at
// while all of them stand, as it is without non-stop; those that the client has
// not stopped go on afterwards.
#include <utility>

#include "vmm/debug/debugger.h"

namespace kvmlet {

// The vCPU that was told stays. gdb 13 ends with an internal error when it is
// told of a second one before it knows of the first.
void Debugger::SetNonStop(bool on) {
  non_stop_ = on;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    const bool runs = on && i != report_.vcpu;
    vcpus_[i]->set_action(
        {.kind = runs ? VcpuAction::Kind::kContinue : VcpuAction::Kind::kStay});
  }
}

void Debugger::Hold() {
  if (stopped_) return;
  Freeze();
  lifted_.reset();
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (held(i) || !vcpus_[i]->stop()) continue;
    const VcpuStop stop = *vcpus_[i]->stop();
    if (stop.reason == VcpuStop::Reason::kPassing) {
      vcpus_[i]->ClearStop();
      vcpus_[i]->set_told_at(stop.pc);
    } else if (stop.reason == VcpuStop::Reason::kSteppedOver) {
      vcpus_[i]->ClearStop();
    } else {
      vcpus_[i]->set_action({});
      TellStop(i, stop);
    }
  }
}

void Debugger::Release() {
  if (!stopped_ || crashed_) return;
  bool any = false;
  for (size_t i = 0; i < vcpus_.size(); ++i) any = any || !held(i);
  if (!any) return;
  stopped_ = false;
  Start();
}

void Debugger::ResumeSome(const std::vector<VcpuAction>& actions) {
  bool any = false;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    any = any || (held(i) && actions[i].kind != VcpuAction::Kind::kStay);
  }
  if (!any) return;
  if (std::exchange(crashed_, false)) return target_.EndCrashed();
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    vcpus_[i]->set_action(actions[i]);
  }
  if (pending_crash_) {
    crashed_ = true;
    vcpus_[pending_crash_->vcpu]->set_action({});
    return Tell(*std::exchange(pending_crash_, std::nullopt));
  }
  const std::function<void()> request = TakeRequest();
  Release();
  if (request != nullptr) request();
}

void Debugger::HoldVcpu(size_t vcpu, DebugSignal signal) {
  if (held(vcpu)) return;
  vcpus_[vcpu]->set_action({});
  Tell({.signal = signal, .vcpu = vcpu});
}

}  // namespace kvmlet
