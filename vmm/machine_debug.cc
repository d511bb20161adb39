// SPDX-License-Identifier: Apache-2.0
// The machine as the debugger sees it, see vmm/debug/debug_target.h.
#include <glog/logging.h>

#include <utility>

#include "arch/debug.h"
#include "vmm/base/status_macros.h"
#include "vmm/machine.h"

namespace kvmlet {

absl::Status Machine::CreateDebugger() {
  if (!context_.config.gdb) return absl::OkStatus();
  KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<arch::Debug> arch,
                          arch::CreateDebug(*system_));
  DebugTarget& target = *this;
  debugger_ = std::make_unique<Debugger>(target, std::move(arch),
                                         context_.config.gdb->wait);
  return absl::OkStatus();
}

bool Machine::OnDebugExit(uint32_t vcpu, const KvmVcpu& kvm) {
  return debugger_ == nullptr || debugger_->OnDebugExit(vcpu, kvm);
}

bool Machine::OnDebugAccess(uint32_t vcpu, const KvmVcpu& kvm) {
  return debugger_ == nullptr || debugger_->OnDebugAccess(vcpu, kvm);
}

bool Machine::OnDebugCatch(uint32_t vcpu, const KvmVcpu& kvm) {
  return debugger_ != nullptr && debugger_->OnDebugCatch(vcpu, kvm);
}

std::optional<size_t> Machine::CaughtHere() const {
  if (debugger_ == nullptr) return std::nullopt;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (vcpus_[i]->OnOwnThread() && debugger_->caught(i)) return i;
  }
  return std::nullopt;
}

void Machine::OnDebugCaught(uint32_t vcpu, const KvmVcpu& kvm) {
  debugger_->OnDebugCaught(vcpu, kvm);
}

void Machine::OnDebugStop(uint32_t vcpu) { debugger_->OnDebugStop(vcpu); }

RunState Machine::run_state() const {
  const bool held = debugger_ != nullptr && debugger_->stopped();
  if (held && state_ == RunState::kRunning) return RunState::kDebug;
  return state_;
}

void Machine::StopForDebugger() {
  HurryConsoles(true);
  for (const auto& vcpu : vcpus_) vcpu->RequestPause(PausedBy::kDebugger);
  for (const auto& vcpu : vcpus_) vcpu->WaitPaused();
  if (state_ == RunState::kRunning) HurryConsoles(false);
}

void Machine::ResumeForDebugger(size_t vcpu) {
  late_since_.reset();
  vcpus_[vcpu]->Resume(PausedBy::kDebugger);
}

void Machine::RunOnVcpu(size_t vcpu,
                        const std::function<void(KvmVcpu&)>& function) {
  vcpus_[vcpu]->RunOutside(function);
}

void Machine::EndCrash(DebugSignal signal, uint32_t vcpu, Verdict verdict,
                       ShutdownCause cause) {
  if (debugger_ != nullptr) {
    PauseVcpus();
    crash_.emplace(verdict, cause);
    const bool wait = context_.config.on_hang.gdb;
    const bool attached = debugger_->attached();
    if (debugger_->OnCrash(signal, vcpu, wait)) {
      LOG_IF(WARNING, !attached) << "the guest is held for gdb, which ends it "
                                    "by continuing";
      return;
    }
  }
  EndWith(std::move(verdict), cause);
}

void Machine::EndHung(Verdict verdict, ShutdownCause cause) {
  if (!context_.config.on_hang.gdb) return EndWith(std::move(verdict), cause);
  // One that crashed is held already.
  if (ended_ || crash_) return;
  EndCrash(DebugSignal::kHang, 0, std::move(verdict), cause);
}

void Machine::EndCrashed() {
  if (!crash_) return;
  auto [verdict, cause] = *std::exchange(crash_, std::nullopt);
  EndWith(std::move(verdict), cause);
}

absl::Status Machine::ResetFromDebugger() {
  // A crashed guest lives again.
  if (crash_) {
    crash_.reset();
    state_ = RunState::kRunning;
  }
  return SystemReset();
}

void Machine::Post(std::function<void()> function) {
  context_.loop.Post(std::move(function));
}

}  // namespace kvmlet
