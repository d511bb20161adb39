// SPDX-License-Identifier: Apache-2.0
// The machine back at power-on, in place: because the guest asked for it, or
// somebody for the guest.
#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"
#include "vmm/machine.h"

namespace kvmlet {

void Machine::GuestReset(Door door) {
  context_.listener.OnReset();
  if (ended_) return;
  if (context_.config.on_reset == OnReset::kExit) {
    EndWith({.reason = VerdictReason::kReset, .door = door},
            ShutdownCause::kGuestReset);
    return;
  }
  DoReset(ShutdownCause::kGuestReset);
}

void Machine::DoReset(ShutdownCause cause) {
  hold_ = true;
  PauseVcpus();
  const absl::Status status = ResetGuest();
  if (!status.ok()) {
    EndWith({.reason = VerdictReason::kInternalError,
             .text = absl::StrCat("reset: ", status.message())},
            ShutdownCause::kHostError);
    return;
  }
  context_.listener.OnRestart();
  if (debugger_ != nullptr) debugger_->OnReset();
  context_.events.Reset(cause);
  // A machine that the user stopped stays stopped, at its kernel's entry.
  if (state_ == RunState::kRunning) ResumeVcpus();
}

absl::Status Machine::ResetGuest() {
  FinishUnplugs();
  pci_->Reset();
  memory_devices_->SystemReset();
  // From here on nobody asks for anything: what was asked before is void.
  ++boot_;
  requested_ = false;
  crash_.reset();
  verdict_port_->Reset();
  KVMLET_RETURN_IF_ERROR(platform_->Reset());
  if (passthrough_) KVMLET_RETURN_IF_ERROR(passthrough_->UnmapMemory());
  KVMLET_RETURN_IF_ERROR(memory_->Discard());
  ForgetLost();
  KVMLET_RETURN_IF_ERROR(platform_->LoadGuest());
  if (passthrough_) KVMLET_RETURN_IF_ERROR(passthrough_->MapMemory());
  absl::Status status;
  for (const auto& vcpu : vcpus_) {
    vcpu->RunOnThread([&](KvmVcpu& kvm) {
      status.Update(platform_->ResetVcpu(kvm, vcpu->index(), /*first=*/false));
    });
  }
  return status;
}

}  // namespace kvmlet
