// SPDX-License-Identifier: Apache-2.0
#include "arch/probe.h"

#include <linux/kvm.h>

#include <array>
#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/vcpu_state.h"
#include "arch/common/run_bounded.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/kvm/memory_exits.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {
namespace {

using namespace arm64;  // NOLINT: this file is part of it

constexpr uint64_t kRounds = 10'000'000;
constexpr double kInstructionsPerRound = 2;

// subs x0, x0, #1; b.ne back to it; str w0, [x1]. The count is in x0 and an
// address without memory in x1 from the start.
constexpr std::array<uint32_t, 3> kLoop = {0xf1000400, 0x54ffffe1, 0xb9000020};

constexpr Gpa kCode{0x10000};
constexpr uint64_t kMemorySize = 0x10000;  // a page of any host
constexpr uint64_t kNowhere = 0x40000;

constexpr char kProcessor[] = "only newer processors have it";

}  // namespace

std::span<const KvmCapability> SpecificCapabilities() {
  static constexpr KvmCapability kCapabilities[] = {
      {KVM_CAP_ARM_PSCI_0_2, "ARM_PSCI_0_2",
       "the guest starts its CPUs and powers off", true},
      {KVM_CAP_ONE_REG, "ONE_REG", "the guest starts at its kernel", true},
      {KVM_CAP_DEVICE_CTRL, "DEVICE_CTRL", "interrupt controller", true},
      {KVM_CAP_ARM_VM_IPA_SIZE, "ARM_VM_IPA_SIZE",
       "more than 511 GiB of memory", false},
      {KVM_CAP_ARM_PMU_V3, "ARM_PMU_V3", "performance counters in the guest",
       false, kProcessor},
      {KVM_CAP_ARM_SVE, "ARM_SVE", "scalable vectors in the guest", false,
       kProcessor},
      {KVM_CAP_ARM_PTRAUTH_ADDRESS, "ARM_PTRAUTH_ADDRESS",
       "pointer authentication in the guest", false, kProcessor},
      {KVM_CAP_ARM_INJECT_EXT_DABT, "ARM_INJECT_EXT_DABT",
       "the guest lives on when the host loses its memory (--acpi)", false,
       "use Linux 5.5 or newer"},
      {kCapArmSeaToUser, "ARM_SEA_TO_USER",
       "the guest hears of memory errors that firmware leaves unexplained",
       false, "use Linux 6.19 or newer"},
      {KVM_CAP_ARM_NISV_TO_USER, "ARM_NISV_TO_USER",
       "a wild access of the guest is its own fault only", false},
  };
  return kCapabilities;
}

std::string_view IommuRemedy() {
  return "switch the SMMU on in the firmware, which has to describe it to the "
         "kernel (ACPI's IORT, or iommu-map in the device tree)";
}

absl::StatusOr<double> GuestInstructionsPerSecond(
    const KvmSystem& system, std::chrono::milliseconds budget) {
  const RamRange range{kCode, kMemorySize};
  KVMLET_ASSIGN_OR_RETURN(const GuestMemory memory,
                          GuestMemory::Create({&range, 1}, BackingOptions{}));
  if (!memory.Store(kCode, kLoop)) {
    return absl::InternalError("the probe does not fit into its memory");
  }
  const int bits = system.CheckExtension(KVM_CAP_ARM_VM_IPA_SIZE);
  KVMLET_ASSIGN_OR_RETURN(
      const std::unique_ptr<KvmVm> vm,
      KvmVm::Create(system, static_cast<unsigned long>(bits > 0 ? bits : 0)));
  KVMLET_RETURN_IF_ERROR(vm->MapMemory(memory));
  KVMLET_ASSIGN_OR_RETURN(const std::unique_ptr<KvmVcpu> vcpu,
                          vm->CreateVcpu(0));
  KVMLET_ASSIGN_OR_RETURN(kvm_vcpu_init init, vm->fd().Get(kPreferredTarget));
  KVMLET_RETURN_IF_ERROR(vcpu->fd().Set(kVcpuInit, init));
  KVMLET_RETURN_IF_ERROR(SetBootRegisters(*vcpu, kCode, Gpa{kRounds}));
  KVMLET_RETURN_IF_ERROR(SetRegister(*vcpu, RegX(1), kNowhere));
  const BoundedRun run = RunBounded(*vcpu, budget);
  if (run.error != EINTR &&
      (run.error != 0 || vcpu->run().exit_reason != KVM_EXIT_MMIO)) {
    return absl::UnavailableError(
        absl::StrCat("KVM could not run a loop of two instructions: errno ",
                     run.error, ", exit reason ", vcpu->run().exit_reason));
  }
  KVMLET_ASSIGN_OR_RETURN(const uint64_t left, GetRegister(*vcpu, RegX(0)));
  const auto rounds = static_cast<double>(kRounds - left);
  return rounds * kInstructionsPerRound / run.took.count();
}

}  // namespace kvmlet::arch
