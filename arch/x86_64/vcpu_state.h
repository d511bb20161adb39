// SPDX-License-Identifier: Apache-2.0
// A vCPU's architectural state at power-on, as KVM requests: what SetUp gives
// it once, what Reset puts back at a reboot, and its registers as text.
//
// Threads: SetUpMsrs before the vCPU runs; the rest on the vCPU's thread.
// Specification: Intel SDM volume 3, "Processor Management and
// Initialization", table of register states following power-up.
#ifndef KVMLET_ARCH_X86_64_VCPU_STATE_H_
#define KVMLET_ARCH_X86_64_VCPU_STATE_H_

#include <linux/kvm.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/x86_64/cpuid.h"
#include "vmm/kvm/kvm_vcpu.h"

namespace kvmlet::arch::x86_64 {

// The few MSRs whose value at boot is not KVM's power-on value.
absl::Status SetUpMsrs(const KvmVcpu& vcpu, const CpuidHost& host);

// LINT0 takes the legacy controller's interrupts, LINT1 the NMI.
absl::Status SetUpLapicPins(const KvmVcpu& vcpu);

// What KVM gave a fresh vCPU; taken before it first runs, for a later reset.
struct PowerOnState {
  kvm_sregs sregs{};
  kvm_lapic_state lapic{};
};
absl::StatusOr<PowerOnState> ReadPowerOnState(const KvmVcpu& vcpu);

// Everything back to power-on: FPU, events, debug registers, MSRs, local APIC,
// system registers. The caller then sets the boot registers.
absl::Status RestorePowerOnState(const KvmVcpu& vcpu, const PowerOnState& state,
                                 const CpuidHost& host, bool bootstrap);

absl::StatusOr<std::string> DescribeRegisters(const KvmVcpu& vcpu);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_VCPU_STATE_H_
