// SPDX-License-Identifier: Apache-2.0
// A vCPU's features and its architectural state at power-on, as KVM requests,
// and its registers as text. KVM_ARM_VCPU_INIT is both the set-up and the
// reset: asked again for the same features it puts everything back.
//
// Threads: before the vCPU runs, or on its thread. Specification:
// Documentation/virt/kvm/api.rst, KVM_ARM_VCPU_INIT; Documentation/virt/kvm/
// devices/vcpu.rst, group 0, for the PMU.
#ifndef KVMLET_ARCH_ARM64_VCPU_STATE_H_
#define KVMLET_ARCH_ARM64_VCPU_STATE_H_

#include <linux/kvm.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::arm64 {

// What every vCPU of the machine has: PSCI always; PMU, SVE and pointer
// authentication where the host has them.
class VcpuFeatures {
 public:
  static absl::StatusOr<VcpuFeatures> Choose(const KvmVm& vm);

  bool pmu() const { return Has(KVM_ARM_VCPU_PMU_V3); }
  bool sve() const { return Has(KVM_ARM_VCPU_SVE); }

  // Power-on. Only the first vCPU starts by itself, the others wait for PSCI
  // CPU_ON.
  absl::Status Init(const KvmVcpu& vcpu, bool starts) const;
  // Once a vCPU, after the first Init.
  absl::Status Finalize(const KvmVcpu& vcpu) const;
  // Once a vCPU, when the interrupt controller is ready.
  absl::Status StartPmu(const KvmVcpu& vcpu) const;

 private:
  explicit VcpuFeatures(const kvm_vcpu_init& init) : init_(init) {}
  bool Has(uint32_t feature) const {
    return (init_.features[feature / 32] >> feature % 32 & 1) != 0;
  }
  kvm_vcpu_init init_;
};

// At the kernel's entry, with the device tree's address in X0.
absl::Status SetBootRegisters(const KvmVcpu& vcpu, Gpa entry, Gpa device_tree);

absl::StatusOr<std::string> DescribeRegisters(const KvmVcpu& vcpu);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_VCPU_STATE_H_
