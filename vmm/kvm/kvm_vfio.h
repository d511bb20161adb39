// SPDX-License-Identifier: Apache-2.0
// KVM's VFIO device: tells KVM which VFIO files its guest uses. There is one a
// VM. KVM then knows of assigned devices, which x86 needs for posted
// interrupts, and of DMA that does not follow the caches.
//
// Threads: one at a time. Specification:
// Documentation/virt/kvm/devices/vfio.rst.
#ifndef KVMLET_VMM_KVM_KVM_VFIO_H_
#define KVMLET_VMM_KVM_KVM_VFIO_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/bus/assigned_files.h"
#include "vmm/kvm/kvm_device.h"
#include "vmm/kvm/kvm_vm.h"

namespace kvmlet {

class KvmVfio : public AssignedFiles {
 public:
  static absl::StatusOr<std::unique_ptr<KvmVfio>> Create(const KvmVm& vm);
  absl::Status Add(int fd) override;
  absl::Status Remove(int fd) override;

 private:
  explicit KvmVfio(KvmDevice device) : device_(std::move(device)) {}
  const KvmDevice device_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_VFIO_H_
