// SPDX-License-Identifier: Apache-2.0
// Stolen time: a page of memory beside RAM in which KVM counts, a vCPU at a
// time, how long its thread was ready to run while the host ran others. The
// guest asks a hypervisor call for the address, so no table names it, and
// GuestMemory does not know it: no device reads or writes there. A guest that
// writes to it deceives itself only.
//
// Threads: Create and Offer on the building thread; Reset while no vCPU runs.
// Addresses are guest-physical, sizes bytes, the counters nanoseconds. Errors
// are KVM's refusals. Specification: Arm DEN 0057A, "Stolen Time";
// Documentation/virt/kvm/arm/pvtime.rst and devices/vcpu.rst, group 2.
#ifndef KVMLET_ARCH_ARM64_STOLEN_TIME_H_
#define KVMLET_ARCH_ARM64_STOLEN_TIME_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/bus/guest_mapper.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::arm64 {

class StolenTime {
 public:
  // Where the host's KVM has KVM_CAP_STEAL_TIME. The page stays in the guest
  // until the VM is gone, so this outlives the vCPUs' last run.
  static absl::StatusOr<std::unique_ptr<StolenTime>> Create(GuestMapper& vm);

  // The vCPU's structure.
  static Gpa AddressOf(uint32_t index);

  // Once a vCPU; KVM keeps it over KVM_ARM_VCPU_INIT, and so over a reboot.
  static absl::Status Offer(const KvmVcpu& vcpu, uint32_t index);

  // Power-on: KVM clears a structure only when the guest asks for it.
  void Reset() const;

  std::span<const std::byte> bytes() const { return page_.bytes(); }

 private:
  explicit StolenTime(MappedRegion page) : page_(std::move(page)) {}
  MappedRegion page_;
};

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_STOLEN_TIME_H_
