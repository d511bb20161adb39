// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/vcpu_state.h"

#include <iterator>

#include "absl/strings/str_format.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/layout.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/kvm_device.h"

namespace kvmlet::arch::arm64 {
namespace {

struct NamedRegister {
  const char* name;
  uint64_t id;
};

constexpr NamedRegister kSystemRegisters[] = {
    {"SP_EL1", kRegSpEl1}, {"ELR_EL1", kRegElrEl1}, {"SPSR_EL1", kRegSpsrEl1},
    {"ESR_EL1", kRegEsr},  {"FAR_EL1", kRegFar},    {"VBAR_EL1", kRegVbar},
    {"SCTLR", kRegSctlr},  {"TCR", kRegTcr},        {"MPIDR", kRegMpidr},
    {"TTBR0", kRegTtbr0},  {"TTBR1", kRegTtbr1},
};

// A register that this KVM does not have is left out.
void Append(const KvmVcpu& vcpu, const char* name, uint64_t id,
            std::string& line) {
  const absl::StatusOr<uint64_t> value = GetRegister(vcpu, id);
  if (!value.ok()) return;
  absl::StrAppendFormat(&line, "%s%s=%016x", line.empty() ? "" : " ", name,
                        *value);
}

}  // namespace

absl::StatusOr<VcpuFeatures> VcpuFeatures::Choose(const KvmVm& vm) {
  KVMLET_ASSIGN_OR_RETURN(kvm_vcpu_init init, vm.fd().Get(kPreferredTarget));
  const auto enable = [&init](uint32_t feature) {
    init.features[feature / 32] |= 1u << feature % 32;
  };
  enable(KVM_ARM_VCPU_PSCI_0_2);
  if (vm.CheckExtension(KVM_CAP_ARM_PMU_V3) > 0) enable(KVM_ARM_VCPU_PMU_V3);
  if (vm.CheckExtension(KVM_CAP_ARM_SVE) > 0) enable(KVM_ARM_VCPU_SVE);
  // KVM takes the two kinds of pointer authentication together or not at all.
  if (vm.CheckExtension(KVM_CAP_ARM_PTRAUTH_ADDRESS) > 0 &&
      vm.CheckExtension(KVM_CAP_ARM_PTRAUTH_GENERIC) > 0) {
    enable(KVM_ARM_VCPU_PTRAUTH_ADDRESS);
    enable(KVM_ARM_VCPU_PTRAUTH_GENERIC);
  }
  return VcpuFeatures(init);
}

absl::Status VcpuFeatures::Init(const KvmVcpu& vcpu, bool starts) const {
  kvm_vcpu_init init = init_;
  if (!starts) init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
  return vcpu.fd().Set(kVcpuInit, init);
}

absl::Status VcpuFeatures::Finalize(const KvmVcpu& vcpu) const {
  if (!sve()) return absl::OkStatus();
  return vcpu.fd().Set(kVcpuFinalize, int{KVM_ARM_VCPU_SVE});
}

absl::Status VcpuFeatures::StartPmu(const KvmVcpu& vcpu) const {
  if (!pmu()) return absl::OkStatus();
  const int interrupt = 16 + kPmuPpi;
  KVMLET_RETURN_IF_ERROR(SetDeviceAttribute(
      vcpu.fd(), "the PMU's interrupt", KVM_ARM_VCPU_PMU_V3_CTRL,
      KVM_ARM_VCPU_PMU_V3_IRQ, &interrupt));
  return SetDeviceAttribute(vcpu.fd(), "the PMU's start",
                            KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT,
                            nullptr);
}

absl::Status SetBootRegisters(const KvmVcpu& vcpu, Gpa entry, Gpa device_tree) {
  KVMLET_RETURN_IF_ERROR(SetRegister(vcpu, kRegPstate, kPstateAtBoot));
  KVMLET_RETURN_IF_ERROR(SetRegister(vcpu, RegX(0), device_tree.value));
  return SetRegister(vcpu, kRegPc, entry.value);
}

absl::StatusOr<std::string> DescribeRegisters(const KvmVcpu& vcpu) {
  KVMLET_ASSIGN_OR_RETURN(const uint64_t pc, GetRegister(vcpu, kRegPc));
  KVMLET_ASSIGN_OR_RETURN(const uint64_t pstate, GetRegister(vcpu, kRegPstate));
  KVMLET_ASSIGN_OR_RETURN(const uint64_t sp, GetRegister(vcpu, kRegSp));
  std::string text =
      absl::StrFormat("PC =%016x PSTATE=%08x EL%u SP_EL0=%016x", pc, pstate,
                      static_cast<unsigned>(pstate >> 2 & 3), sp);
  kvm_mp_state state{};
  if (vcpu.fd().Get(kGetMpState, state).ok() &&
      state.mp_state == KVM_MP_STATE_STOPPED) {
    text += " (powered off)";
  }
  text.push_back('\n');
  std::string line;
  for (size_t n = 0; n <= 30; ++n) {
    Append(vcpu, absl::StrFormat("X%-2u", n).c_str(), RegX(n), line);
    if (n % 4 != 3 && n != 30) continue;
    text += line + "\n";
    line.clear();
  }
  for (size_t i = 0; i < std::size(kSystemRegisters); ++i) {
    Append(vcpu, kSystemRegisters[i].name, kSystemRegisters[i].id, line);
    if (i % 3 != 2 && i + 1 != std::size(kSystemRegisters)) continue;
    text += line + "\n";
    line.clear();
  }
  return text;
}

}  // namespace kvmlet::arch::arm64
