// SPDX-License-Identifier: Apache-2.0
// The exits that only arm64 has: PSCI's system calls, and accesses that the
// hardware does not decode.
#include <linux/kvm.h>

#include "absl/strings/str_format.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/platform.h"
#include "vmm/kvm/memory_exits.h"

namespace kvmlet::arch::arm64 {

ExitResult Arm64Platform::HandleExit(KvmVcpu& vcpu) {
  switch (vcpu.run().exit_reason) {
    case KVM_EXIT_SYSTEM_EVENT:
      return OnSystemEvent(vcpu.run());
    case KVM_EXIT_ARM_NISV:
      return OnAccessWithoutSyndrome(vcpu);
    case KVM_EXIT_DEBUG:
      return ExitResult::kDebug;
    default:
      return ExitResult::kUnknown;
  }
}

ExitResult Arm64Platform::OnSystemEvent(const kvm_run& run) {
  switch (run.system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
      context_.requests.PowerOff(Door::kPsci);
      return ExitResult::kHalt;
    case KVM_SYSTEM_EVENT_RESET:
      context_.requests.Reset(Door::kPsci);
      return ExitResult::kHalt;
    case KVM_SYSTEM_EVENT_CRASH:
      context_.requests.Panic(Door::kSystemEvent, /*crash_loaded=*/false);
      return ExitResult::kHalt;
    default:
      return ExitResult::kUnknown;
  }
}

// A load or store pair, an access with write-back, a vector: the hardware
// reports its address only. No driver uses them on devices, and a real bus
// would answer some of them with an abort too.
ExitResult Arm64Platform::OnAccessWithoutSyndrome(KvmVcpu& vcpu) {
  if (!InjectExternalAbort(vcpu).ok()) return ExitResult::kUnknown;
  log_.Warn(absl::StrFormat(
      "vcpu %u: an access at 0x%x by an instruction that KVM cannot decode; "
      "the guest gets an external abort",
      vcpu.id(), vcpu.run().arm_nisv.fault_ipa));
  return ExitResult::kResume;
}

std::string Arm64Platform::DescribeFailure(KvmVcpu& vcpu) {
  const kvm_run& run = vcpu.run();
  switch (run.exit_reason) {
    case KVM_EXIT_FAIL_ENTRY:
      return absl::StrFormat(
          "KVM could not enter the guest on host CPU %u (reason 0x%x)",
          run.fail_entry.cpu, run.fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_INTERNAL_ERROR:
      return absl::StrFormat("KVM internal error, suberror %u",
                             run.internal.suberror);
    case KVM_EXIT_SYSTEM_EVENT:
      return absl::StrFormat("system event %u, which kvmlet does not know",
                             run.system_event.type);
    case KVM_EXIT_ARM_NISV:
      return absl::StrFormat(
          "an access at 0x%x by an instruction that KVM cannot decode, and "
          "this host's KVM cannot inject an abort",
          run.arm_nisv.fault_ipa);
    case kExitArmSea:
      return "the guest met an error of the host's memory, and the processor "
             "does not say where";
    default:
      return absl::StrFormat("KVM exit %u, which kvmlet does not know",
                             run.exit_reason);
  }
}

}  // namespace kvmlet::arch::arm64
