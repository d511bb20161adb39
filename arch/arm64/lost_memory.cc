// SPDX-License-Identifier: Apache-2.0
// How the guest hears of memory that the host has lost: a record in an error
// source that ACPI describes, and an external abort for the vCPU that met the
// error, or an event. A device tree describes no error source, so nothing
// could name the page there: an external abort alone would cost the guest's
// process its life, and the page would be given to the next one.
#include <linux/kvm.h>

#include "arch/arm64/error_source.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/platform.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

using Source = ErrorSources::Source;

absl::StatusOr<bool> InKernel(KvmVcpu& vcpu) {
  constexpr uint64_t kLevel = 3 << 2;
  KVMLET_ASSIGN_OR_RETURN(const uint64_t pstate, GetRegister(vcpu, kRegPstate));
  return (pstate & kLevel) != 0;
}

}  // namespace

absl::StatusOr<MemoryErrorResult> Arm64Platform::InjectMemoryError(
    KvmVcpu& vcpu, const MemoryError& error, bool own) {
  if (!own) return MemoryErrorResult::kUntold;
  return error.action_required ? TellOfAbort(vcpu, error.at)
                               : TellOfEvent(error.at);
}

absl::StatusOr<MemoryErrorResult> Arm64Platform::TellOfEvent(Gpa page) {
  if (!errors_) return MemoryErrorResult::kUntold;
  KVMLET_ASSIGN_OR_RETURN(const bool recorded,
                          errors_->Record(Source::kEvent, page));
  if (!recorded) return MemoryErrorResult::kLater;
  ged_->Raise(AcpiGed::kHardwareErrorEvent);
  return MemoryErrorResult::kTold;
}

absl::StatusOr<MemoryErrorResult> Arm64Platform::TellOfAbort(KvmVcpu& vcpu,
                                                             Gpa page) {
  kvm_mp_state state{};
  if (!errors_ ||
      context_.vm.CheckExtension(KVM_CAP_ARM_INJECT_EXT_DABT) <= 0 ||
      (vcpu.fd().Get(kGetMpState, state).ok() &&
       state.mp_state == KVM_MP_STATE_STOPPED)) {
    return MemoryErrorResult::kCannotTell;
  }
  // Linux reads no record for an abort of its own: one would stay there, and
  // keep the others out.
  KVMLET_ASSIGN_OR_RETURN(const bool in_kernel, InKernel(vcpu));
  if (!in_kernel) {
    KVMLET_ASSIGN_OR_RETURN(const bool recorded,
                            errors_->Record(Source::kAbort, page));
    if (!recorded) return MemoryErrorResult::kLater;
  }
  const absl::Status told = InjectExternalAbort(vcpu);
  if (told.ok()) return MemoryErrorResult::kTold;
  if (!in_kernel) errors_->Withdraw(Source::kAbort).IgnoreError();
  return told;
}

}  // namespace kvmlet::arch::arm64
