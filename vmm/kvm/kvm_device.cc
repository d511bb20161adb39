// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm_device.h"

#include <linux/kvm.h>

#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

kvm_device_attr Attribute(uint32_t group, uint64_t attribute,
                          const void* value) {
  kvm_device_attr attr{};
  attr.group = group;
  attr.attr = attribute;
  attr.addr = reinterpret_cast<uint64_t>(value);
  return attr;
}

}  // namespace

absl::Status SetDeviceAttribute(const KvmFd& fd, const char* what,
                                uint32_t group, uint64_t attribute,
                                const void* value) {
  const KvmSet<kvm_device_attr> request{KVM_SET_DEVICE_ATTR, what};
  return fd.Set(request, Attribute(group, attribute, value));
}

absl::Status GetDeviceAttribute(const KvmFd& fd, const char* what,
                                uint32_t group, uint64_t attribute,
                                void* value) {
  const KvmSet<kvm_device_attr> request{KVM_GET_DEVICE_ATTR, what};
  return fd.Set(request, Attribute(group, attribute, value));
}

bool HasDeviceAttribute(const KvmFd& fd, uint32_t group, uint64_t attribute) {
  static constexpr KvmSet<kvm_device_attr> kHas{KVM_HAS_DEVICE_ATTR,
                                                "KVM_HAS_DEVICE_ATTR"};
  return fd.Set(kHas, Attribute(group, attribute, nullptr)).ok();
}

absl::StatusOr<KvmDevice> KvmDevice::Create(const KvmVm& vm, uint32_t type,
                                            const char* name) {
  const KvmSet<kvm_create_device> request{KVM_CREATE_DEVICE, name};
  kvm_create_device device{};
  device.type = type;
  KVMLET_RETURN_IF_ERROR(vm.fd().Exchange(request, device).status());
  return KvmDevice(KvmFd(UniqueFd(static_cast<int>(device.fd))));
}

bool KvmDevice::Supported(const KvmVm& vm, uint32_t type) {
  static constexpr KvmSet<kvm_create_device> kTest{KVM_CREATE_DEVICE,
                                                   "KVM_CREATE_DEVICE"};
  kvm_create_device device{};
  device.type = type;
  device.flags = KVM_CREATE_DEVICE_TEST;
  return vm.fd().Exchange(kTest, device).ok();
}

}  // namespace kvmlet
