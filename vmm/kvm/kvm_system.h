// SPDX-License-Identifier: Apache-2.0
// /dev/kvm: what this host's KVM can do, and the factory of virtual machines.
// Thread-safe. Errors say what to do: load the module, join the group, use a
// newer kernel.
// Specification: Documentation/virt/kvm/api.rst, "System ioctls".
#ifndef KVMLET_VMM_KVM_KVM_SYSTEM_H_
#define KVMLET_VMM_KVM_KVM_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_fd.h"

namespace kvmlet {

class KvmSystem {
 public:
  static absl::StatusOr<KvmSystem> Open(const std::string& path = "/dev/kvm");

  // KVM_CHECK_EXTENSION; 0 when the host lacks it.
  int CheckExtension(unsigned long capability) const;
  // Fails naming the capability when the host lacks it.
  absl::Status Require(unsigned long capability, const char* name) const;
  absl::StatusOr<UniqueFd> CreateVm(unsigned long type) const;
  size_t vcpu_mmap_size() const { return vcpu_mmap_size_; }
  uint32_t max_vcpus() const;
  const KvmFd& fd() const { return fd_; }

 private:
  KvmSystem(KvmFd fd, size_t vcpu_mmap_size)
      : fd_(std::move(fd)), vcpu_mmap_size_(vcpu_mmap_size) {}
  KvmFd fd_;
  size_t vcpu_mmap_size_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_SYSTEM_H_
