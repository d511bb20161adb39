// SPDX-License-Identifier: Apache-2.0
// The CPUID a guest sees: what KVM supports on this host, with the topology,
// APIC id and hypervisor leaves of each vCPU filled in. Feature bits whose MSR
// this KVM does not offer are taken away.
//
// Thread-safe: pure functions but for Query. Specification: Intel SDM volume
// 2A, CPUID; AMD APM volume 3, appendix E; Documentation/virt/kvm/x86/cpuid.
#ifndef KVMLET_ARCH_X86_64_CPUID_H_
#define KVMLET_ARCH_X86_64_CPUID_H_

#include <linux/kvm.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/x86_64/topology.h"
#include "vmm/kvm/kvm_system.h"

namespace kvmlet::arch::x86_64 {

using CpuidTable = std::vector<kvm_cpuid_entry2>;

// What the host offers beyond the table.
struct CpuidHost {
  uint32_t tsc_khz = 0;       // 0: unknown
  bool tsc_deadline = false;  // KVM_CAP_TSC_DEADLINE_TIMER
  // Values of the feature MSRs, when KVM has them.
  std::optional<uint64_t> arch_capabilities;
  std::optional<uint64_t> perf_capabilities;
};

// KVM_GET_SUPPORTED_CPUID; the most expensive request of a start, so once.
absl::StatusOr<CpuidTable> QueryCpuid(const KvmSystem& system);
// The value of a feature MSR, if KVM has it.
std::optional<uint64_t> QueryFeatureMsr(const KvmSystem& system,
                                        uint32_t index);

kvm_cpuid_entry2* FindLeaf(CpuidTable& table, uint32_t leaf,
                           uint32_t index = 0);
const kvm_cpuid_entry2* FindLeaf(const CpuidTable& table, uint32_t leaf,
                                 uint32_t index = 0);
// AMD's, or Hygon's, which is made after it.
bool IsAmd(const CpuidTable& table);
// Physical address bits of leaf 0x80000008, 36 when it is absent.
uint32_t PhysicalAddressBits(const CpuidTable& table);

// The table of the vCPU with this index.
CpuidTable BuildCpuid(const CpuidTable& supported, const CpuidHost& host,
                      const Topology& topology, uint32_t index);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_CPUID_H_
