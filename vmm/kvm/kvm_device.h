// SPDX-License-Identifier: Apache-2.0
// A device that KVM emulates or represents (interrupt controller, VFIO), and
// the attributes by which it is set up. vCPUs have attributes too, so those
// functions take any KVM file descriptor.
//
// Threads: any, the kernel serialises. Errors: PosixError with the name that
// the caller gives. Specification: Documentation/virt/kvm/api.rst, 4.79 to
// 4.81; Documentation/virt/kvm/devices.
#ifndef KVMLET_VMM_KVM_KVM_DEVICE_H_
#define KVMLET_VMM_KVM_KVM_DEVICE_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_fd.h"
#include "vmm/kvm/kvm_vm.h"

namespace kvmlet {

// Attributes with a value; `what` is in the error.
absl::Status SetDeviceAttribute(const KvmFd& fd, const char* what,
                                uint32_t group, uint64_t attribute,
                                const void* value);
absl::Status GetDeviceAttribute(const KvmFd& fd, const char* what,
                                uint32_t group, uint64_t attribute,
                                void* value);
bool HasDeviceAttribute(const KvmFd& fd, uint32_t group, uint64_t attribute);

class KvmDevice {
 public:
  // KVM_DEV_TYPE_*; `name` is in the error.
  static absl::StatusOr<KvmDevice> Create(const KvmVm& vm, uint32_t type,
                                          const char* name);
  // Whether Create can work on this host.
  static bool Supported(const KvmVm& vm, uint32_t type);

  template <typename T>
  absl::Status Set(const char* what, uint32_t group, uint64_t attribute,
                   const T& value) const {
    return SetDeviceAttribute(fd_, what, group, attribute, &value);
  }
  template <typename T>
  absl::StatusOr<T> Get(const char* what, uint32_t group,
                        uint64_t attribute) const {
    T value{};
    absl::Status status =
        GetDeviceAttribute(fd_, what, group, attribute, &value);
    if (!status.ok()) return status;
    return value;
  }
  // An attribute that is a command.
  absl::Status Do(const char* what, uint32_t group, uint64_t attribute) const {
    return SetDeviceAttribute(fd_, what, group, attribute, nullptr);
  }
  const KvmFd& fd() const { return fd_; }

 private:
  explicit KvmDevice(KvmFd fd) : fd_(std::move(fd)) {}
  KvmFd fd_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_DEVICE_H_
