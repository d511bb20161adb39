// SPDX-License-Identifier: Apache-2.0
// vCPUs that stop and go on each for itself. Whatever happens is looked at
// while all of them stand, as it is without non-stop; those that the client has
// not stopped go on afterwards.
#include "vmm/debug/debugger.h"

namespace kvmlet {

// The vCPU that was told stays. gdb 13 ends with an internal error when it is
// told of a second one before it knows of the first.
void Debugger::SetNonStop(bool on) {
  non_stop_ = on;
  const size_t told = report_.vcpu;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    const std::optional<VcpuStop> stop = vcpus_[i]->stop();
    const bool pending = stop && IsPending(*stop);
    const bool runs = on && i != told && !pending;
    vcpus_[i]->set_action(
        {.kind = runs ? VcpuAction::Kind::kContinue : VcpuAction::Kind::kStay});
    if (on && pending) TellStop(i, *stop);
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
  if (!TakeActions(actions)) return;
  AskAgain();
  Release();
}

// With a crash the others stand too.
void Debugger::TellAllStand(const StopReport& report) {
  vcpus_[report.vcpu]->set_action({});
  Tell(report);
  for (size_t i = 0; i < vcpus_.size(); ++i) HoldVcpu(i, DebugSignal::kNone);
  report_ = report;
}

void Debugger::HoldVcpu(size_t vcpu, DebugSignal signal) {
  if (held(vcpu)) return;
  vcpus_[vcpu]->set_action({});
  Tell({.signal = signal, .vcpu = vcpu});
}

}  // namespace kvmlet
