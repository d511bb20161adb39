// SPDX-License-Identifier: Apache-2.0
// What a KVM says it can do for a debugger and what it does may differ: four
// instructions in a machine of their own tell.
#include <linux/kvm.h>

#include <algorithm>
#include <array>

#include "arch/arm64/debug.h"
#include "arch/arm64/kvm_arm.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/kvm_vm.h"

namespace kvmlet::arch::arm64 {
namespace {

// nop; str x1, [x0]; brk #1; b .
constexpr uint64_t kCode = 0x1000;
constexpr uint64_t kData = 0x800;
constexpr std::array<uint32_t, 4> kProgram{0xd503201f, 0xf9000001, 0xd4200020,
                                           0x14000000};
constexpr uint64_t kStore = kCode + 4;
constexpr uint64_t kBrk = kCode + 8;
constexpr uint64_t kMemorySize = 0x10000;  // a page of any granule
constexpr unsigned kClassShift = 26;

absl::Status Enter(const KvmVcpu& vcpu, uint64_t pc) {
  KVMLET_RETURN_IF_ERROR(SetRegister(vcpu, kRegPstate, kPstateAtBoot));
  KVMLET_RETURN_IF_ERROR(SetRegister(vcpu, RegX(0), kData));
  return SetRegister(vcpu, kRegPc, pc);
}

// Runs from `pc` until the first exit; true when that is for this exception.
bool Stops(const KvmVcpu& vcpu, const Debug& debug, uint64_t pc,
           const DebugControl& control, uint64_t exception) {
  if (!Enter(vcpu, pc).ok() || !debug.Arm(vcpu, control).ok()) return false;
  return vcpu.Run() == 0 && vcpu.run().exit_reason == KVM_EXIT_DEBUG &&
         vcpu.run().debug.arch.hsr >> kClassShift == exception;
}

uint32_t Count(const KvmSystem& system, unsigned long capability) {
  return static_cast<uint32_t>(std::max(0, system.CheckExtension(capability)));
}

unsigned long SmallestVm(const KvmSystem& system) {
  constexpr unsigned long kFewestBits = 32;
  if (system.CheckExtension(KVM_CAP_ARM_VM_IPA_SIZE) <= 0) return 0;
  return KVM_VM_TYPE_ARM_IPA_SIZE(kFewestBits);
}

}  // namespace

absl::StatusOr<DebugCaps> ProbeDebug(const KvmSystem& system) {
  KVMLET_RETURN_IF_ERROR(
      system.Require(KVM_CAP_SET_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG"));
  const RamRange range{Gpa{0}, kMemorySize};
  KVMLET_ASSIGN_OR_RETURN(const GuestMemory memory,
                          GuestMemory::Create({&range, 1}, BackingOptions{}));
  if (!memory.Store(Gpa{kCode}, kProgram)) {
    return absl::InternalError("the probe does not fit into its memory");
  }
  KVMLET_ASSIGN_OR_RETURN(const auto vm,
                          KvmVm::Create(system, SmallestVm(system)));
  KVMLET_RETURN_IF_ERROR(vm->MapMemory(memory));
  KVMLET_ASSIGN_OR_RETURN(const auto vcpu, vm->CreateVcpu(0));
  KVMLET_ASSIGN_OR_RETURN(const kvm_vcpu_init init,
                          vm->fd().Get(kPreferredTarget));
  KVMLET_RETURN_IF_ERROR(vcpu->fd().Set(kVcpuInit, init));
  DebugCaps caps{.block_interrupts = true,
                 .watch_before_access = true,
                 .handler_at_once = true,
                 .execute_slots = Count(system, KVM_CAP_GUEST_DEBUG_HW_BPS),
                 .watch_slots = Count(system, KVM_CAP_GUEST_DEBUG_HW_WPS)};
  const Arm64Debug debug(caps);
  const auto stops = [&](uint64_t pc, const DebugControl& control,
                         uint64_t exception) {
    return Stops(*vcpu, debug, pc, control, exception);
  };
  caps.single_step = stops(kCode, {.single_step = true}, 0x32);
  caps.execute =
      caps.execute_slots > 0 &&
      stops(kCode, {.slots = {{.address = kStore, .length = 4}}}, 0x30);
  caps.watch =
      caps.watch_slots > 0 && stops(kStore,
                                    {.slots = {{.kind = BreakKind::kWrite,
                                                .address = kData,
                                                .length = 8}}},
                                    0x34);
  caps.software_breakpoints = stops(kBrk, {.software_breakpoints = true}, 0x3c);
  return caps;
}

}  // namespace kvmlet::arch::arm64
