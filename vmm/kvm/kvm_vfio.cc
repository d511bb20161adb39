// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm_vfio.h"

#include <linux/kvm.h>

#include "vmm/base/status_macros.h"

namespace kvmlet {

absl::StatusOr<std::unique_ptr<KvmVfio>> KvmVfio::Create(const KvmVm& vm) {
  KVMLET_ASSIGN_OR_RETURN(KvmDevice device,
                          KvmDevice::Create(vm, KVM_DEV_TYPE_VFIO, "VFIO"));
  return std::unique_ptr<KvmVfio>(new KvmVfio(std::move(device)));
}

absl::Status KvmVfio::Add(int fd) {
  return device_.Set("KVM_DEV_VFIO_GROUP_ADD", KVM_DEV_VFIO_GROUP,
                     KVM_DEV_VFIO_GROUP_ADD, fd);
}

absl::Status KvmVfio::Remove(int fd) {
  return device_.Set("KVM_DEV_VFIO_GROUP_DEL", KVM_DEV_VFIO_GROUP,
                     KVM_DEV_VFIO_GROUP_DEL, fd);
}

}  // namespace kvmlet
