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

absl::StatusOr<MemoryErrorResult> Arm64Platform::InjectMemoryError(
    KvmVcpu& vcpu, const MemoryError& error, bool own) {
  using Source = ErrorSources::Source;
  if (!own) return MemoryErrorResult::kUntold;
  if (!error.action_required) {
    if (!errors_) return MemoryErrorResult::kUntold;
    KVMLET_ASSIGN_OR_RETURN(const bool recorded,
                            errors_->Record(Source::kEvent, error.at));
    if (!recorded) return MemoryErrorResult::kLater;
    ged_->Raise(AcpiGed::kHardwareErrorEvent);
    return MemoryErrorResult::kTold;
  }
  if (!errors_ ||
      context_.vm.CheckExtension(KVM_CAP_ARM_INJECT_EXT_DABT) <= 0) {
    return MemoryErrorResult::kCannotTell;
  }
  KVMLET_ASSIGN_OR_RETURN(const bool recorded,
                          errors_->Record(Source::kAbort, error.at));
  if (!recorded) return MemoryErrorResult::kLater;
  kvm_vcpu_events events{};
  events.exception.ext_dabt_pending = 1;
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetVcpuEvents, events));
  return MemoryErrorResult::kTold;
}

}  // namespace kvmlet::arch::arm64
