// SPDX-License-Identifier: Apache-2.0
// A KVM file descriptor (system, VM, vCPU or device) and the typed requests
// one may make on it. A request is a constant that carries its argument type
// and its name, so the name is in every error for free; this is the only
// place where the monitor calls ioctl() on KVM.
//
// Threads: as the kernel says: system and VM requests from any thread, vCPU
// requests from the vCPU's own thread once it runs. Errors: PosixError with
// the request's name. Specification: Documentation/virt/kvm/api.rst.
#ifndef KVMLET_VMM_KVM_KVM_FD_H_
#define KVMLET_VMM_KVM_KVM_FD_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

// ioctl(fd, request, T*): the kernel fills the structure.
template <typename T>
struct KvmGet {
  unsigned long request;
  const char* name;
};
// ioctl(fd, request, const T*): the kernel reads the structure (and may write
// back into it, see KvmFd::Exchange).
template <typename T>
struct KvmSet {
  unsigned long request;
  const char* name;
};
// ioctl(fd, request, number), the result is a number.
struct KvmCall {
  unsigned long request;
  const char* name;
};

class KvmFd {
 public:
  explicit KvmFd(UniqueFd fd) : fd_(std::move(fd)) {}

  int get() const { return fd_.get(); }

  template <typename T>
  absl::Status Get(const KvmGet<T>& what, T& out) const {
    return Ioctl(what.request, what.name, &out).status();
  }
  template <typename T>
  absl::StatusOr<T> Get(const KvmGet<T>& what) const {
    T value{};
    absl::Status status = Get(what, value);
    if (!status.ok()) return status;
    return value;
  }
  template <typename T>
  absl::Status Set(const KvmSet<T>& what, const T& value) const {
    return Ioctl(what.request, what.name, const_cast<T*>(&value)).status();
  }
  // In and out: structures with a count the kernel updates, or a result.
  template <typename T>
  absl::StatusOr<int> Exchange(const KvmSet<T>& what, T& value) const {
    return Ioctl(what.request, what.name, &value);
  }
  absl::StatusOr<int> Call(const KvmCall& what, unsigned long value = 0) const;

 private:
  absl::StatusOr<int> Ioctl(unsigned long request, const char* name,
                            void* argument) const;
  UniqueFd fd_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_FD_H_
