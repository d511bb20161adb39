// SPDX-License-Identifier: Apache-2.0
// The in-kernel interrupt controller: the best of GICv3 with ITS, GICv3 alone
// and GICv2 that the host has, created, initialised and reset, and the routes
// of devices' MSIs through it.
//
// Threads: Create and Finish on the building thread; Reset while no vCPU runs;
// the rest from any thread. Specification: Documentation/virt/kvm/devices/
// arm-vgic-v3.rst, arm-vgic-its.rst, arm-vgic.rst.
#ifndef KVMLET_ARCH_ARM64_GIC_H_
#define KVMLET_ARCH_ARM64_GIC_H_

#include <linux/kvm.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/arm64/fdt.h"
#include "vmm/kvm/irq_router.h"
#include "vmm/kvm/kvm_device.h"
#include "vmm/kvm/kvm_vm.h"

namespace kvmlet::arch::arm64 {

class Gic {
 public:
  // Before the first vCPU.
  static absl::StatusOr<std::unique_ptr<Gic>> Create(const KvmVm& vm,
                                                     uint32_t vcpus);

  GicKind kind() const { return kind_; }
  // After the last vCPU, before the first run.
  absl::Status Finish() const;
  // Back to power-on; `mpidrs` by vCPU.
  absl::Status Reset(std::span<const uint64_t> mpidrs) const;

  // Wired interrupts are shared peripheral interrupts, numbered from 0.
  IrqRouter::Options RouterOptions(uint32_t gsi_limit) const;

 private:
  Gic(GicKind kind, KvmDevice device)
      : kind_(kind), device_(std::move(device)) {}
  static absl::StatusOr<std::unique_ptr<Gic>> CreateV3(const KvmVm& vm,
                                                       bool has_its);
  static absl::StatusOr<std::unique_ptr<Gic>> CreateV2(const KvmVm& vm);

  const GicKind kind_;
  const KvmDevice device_;
  std::optional<KvmDevice> its_;
};

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_GIC_H_
