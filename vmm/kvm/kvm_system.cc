// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm_system.h"

#include <fcntl.h>
#include <linux/kvm.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr KvmCall kGetApiVersion{KVM_GET_API_VERSION, "KVM_GET_API_VERSION"};
constexpr KvmCall kCreateVm{KVM_CREATE_VM, "KVM_CREATE_VM"};
constexpr KvmCall kCheckExtension{KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION"};
constexpr KvmCall kGetVcpuMmapSize{KVM_GET_VCPU_MMAP_SIZE,
                                   "KVM_GET_VCPU_MMAP_SIZE"};

absl::Status OpenError(int error, const std::string& path) {
  switch (error) {
    case ENOENT:
      return absl::UnavailableError(absl::StrCat(
          path,
          " does not exist: load the kvm_intel or kvm_amd module, or "
          "enable virtualisation in the firmware"));
    case EACCES:
    case EPERM:
      return absl::UnavailableError(
          absl::StrCat(path,
                       ": permission denied: add the user to the group kvm "
                       "(usermod -aG kvm USER) and log in again"));
    default:
      return absl::UnavailableError(
          std::string(PosixError(error, path).message()));
  }
}

}  // namespace

absl::StatusOr<KvmSystem> KvmSystem::Open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.ok()) return OpenError(errno, path);
  KvmFd kvm(std::move(fd));
  const absl::StatusOr<int> version = kvm.Call(kGetApiVersion);
  if (!version.ok() || *version != KVM_API_VERSION) {
    return absl::UnavailableError(
        absl::StrCat(path, " is not a KVM of API version 12"));
  }
  KVMLET_ASSIGN_OR_RETURN(const int size, kvm.Call(kGetVcpuMmapSize));
  return KvmSystem(std::move(kvm), static_cast<size_t>(size));
}

int KvmSystem::CheckExtension(unsigned long capability) const {
  return fd_.Call(kCheckExtension, capability).value_or(0);
}

absl::Status KvmSystem::Require(unsigned long capability,
                                const char* name) const {
  if (CheckExtension(capability) > 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("this host's KVM lacks ", name, ": use a newer kernel"));
}

absl::StatusOr<UniqueFd> KvmSystem::CreateVm(unsigned long type) const {
  absl::StatusOr<int> fd = fd_.Call(kCreateVm, type);
  if (!fd.ok()) return fd.status();
  return UniqueFd(*fd);
}

uint32_t KvmSystem::max_vcpus() const {
  const int hard = CheckExtension(KVM_CAP_MAX_VCPUS);
  const int soft = CheckExtension(KVM_CAP_NR_VCPUS);
  return static_cast<uint32_t>(std::max({hard, soft, 4}));
}

}  // namespace kvmlet
