// SPDX-License-Identifier: Apache-2.0
// The typed KVM requests that exist on arm64 only, and the numbers of the
// registers this folder reads and writes. Constants and small helpers; on the
// vCPU's thread. Specification: Documentation/virt/kvm/api.rst,
// KVM_SET_ONE_REG; Arm ARM, chapter C5, for system registers.
#ifndef KVMLET_ARCH_ARM64_KVM_ARM_H_
#define KVMLET_ARCH_ARM64_KVM_ARM_H_

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_fd.h"
#include "vmm/kvm/kvm_vcpu.h"

namespace kvmlet::arch::arm64 {

inline constexpr KvmGet<kvm_vcpu_init> kPreferredTarget{
    KVM_ARM_PREFERRED_TARGET, "KVM_ARM_PREFERRED_TARGET"};
inline constexpr KvmSet<kvm_vcpu_init> kVcpuInit{KVM_ARM_VCPU_INIT,
                                                 "KVM_ARM_VCPU_INIT"};
inline constexpr KvmSet<int> kVcpuFinalize{KVM_ARM_VCPU_FINALIZE,
                                           "KVM_ARM_VCPU_FINALIZE"};
inline constexpr KvmSet<kvm_one_reg> kGetOneReg{KVM_GET_ONE_REG,
                                                "KVM_GET_ONE_REG"};
inline constexpr KvmSet<kvm_one_reg> kSetOneReg{KVM_SET_ONE_REG,
                                                "KVM_SET_ONE_REG"};
inline constexpr KvmSet<kvm_vcpu_events> kSetVcpuEvents{KVM_SET_VCPU_EVENTS,
                                                        "KVM_SET_VCPU_EVENTS"};
inline constexpr KvmSet<kvm_guest_debug> kSetGuestDebug{KVM_SET_GUEST_DEBUG,
                                                        "KVM_SET_GUEST_DEBUG"};
inline constexpr KvmGet<kvm_mp_state> kGetMpState{KVM_GET_MP_STATE,
                                                  "KVM_GET_MP_STATE"};

constexpr uint64_t CoreRegister(size_t offset) {
  return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
         offset / sizeof(uint32_t);
}
constexpr uint64_t SystemRegister(uint64_t op0, uint64_t op1, uint64_t crn,
                                  uint64_t crm, uint64_t op2) {
  return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG |
         op0 << KVM_REG_ARM64_SYSREG_OP0_SHIFT |
         op1 << KVM_REG_ARM64_SYSREG_OP1_SHIFT |
         crn << KVM_REG_ARM64_SYSREG_CRN_SHIFT |
         crm << KVM_REG_ARM64_SYSREG_CRM_SHIFT | op2;
}

// X0 to X30.
constexpr uint64_t RegX(size_t n) {
  return CoreRegister(offsetof(kvm_regs, regs.regs) + n * sizeof(uint64_t));
}
inline constexpr uint64_t kRegSp = CoreRegister(offsetof(kvm_regs, regs.sp));
inline constexpr uint64_t kRegPc = CoreRegister(offsetof(kvm_regs, regs.pc));
inline constexpr uint64_t kRegPstate =
    CoreRegister(offsetof(kvm_regs, regs.pstate));
inline constexpr uint64_t kRegSpEl1 = CoreRegister(offsetof(kvm_regs, sp_el1));
inline constexpr uint64_t kRegElrEl1 =
    CoreRegister(offsetof(kvm_regs, elr_el1));
inline constexpr uint64_t kRegSpsrEl1 = CoreRegister(offsetof(kvm_regs, spsr));
inline constexpr uint64_t kRegMpidr = SystemRegister(3, 0, 0, 0, 5);
inline constexpr uint64_t kRegMmfr0 = SystemRegister(3, 0, 0, 7, 0);
inline constexpr uint64_t kRegSctlr = SystemRegister(3, 0, 1, 0, 0);
inline constexpr uint64_t kRegTtbr0 = SystemRegister(3, 0, 2, 0, 0);
inline constexpr uint64_t kRegTtbr1 = SystemRegister(3, 0, 2, 0, 1);
inline constexpr uint64_t kRegTcr = SystemRegister(3, 0, 2, 0, 2);
inline constexpr uint64_t kRegEsr = SystemRegister(3, 0, 5, 2, 0);
inline constexpr uint64_t kRegFar = SystemRegister(3, 0, 6, 0, 0);
inline constexpr uint64_t kRegVbar = SystemRegister(3, 0, 12, 0, 0);

// EL1 with its own stack, every interrupt masked (booting.rst).
inline constexpr uint64_t kPstateAtBoot = 0x3c5;

inline absl::StatusOr<uint64_t> GetRegister(const KvmVcpu& vcpu, uint64_t id) {
  uint64_t value = 0;
  const kvm_one_reg reg{.id = id, .addr = reinterpret_cast<uint64_t>(&value)};
  absl::Status status = vcpu.fd().Set(kGetOneReg, reg);
  if (!status.ok()) return status;
  return value;
}
inline absl::Status SetRegister(const KvmVcpu& vcpu, uint64_t id,
                                uint64_t value) {
  const kvm_one_reg reg{.id = id, .addr = reinterpret_cast<uint64_t>(&value)};
  return vcpu.fd().Set(kSetOneReg, reg);
}
// The vCPU takes a synchronous external abort when it runs next.
inline absl::Status InjectExternalAbort(const KvmVcpu& vcpu) {
  kvm_vcpu_events events{};
  events.exception.ext_dabt_pending = 1;
  return vcpu.fd().Set(kSetVcpuEvents, events);
}

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_KVM_ARM_H_
