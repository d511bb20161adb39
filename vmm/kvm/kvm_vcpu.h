// SPDX-License-Identifier: Apache-2.0
// One vCPU's file descriptor and the page it shares with the kernel. Run()
// enters the guest until the next exit; immediate_exit is how another thread
// makes it leave.
//
// Threads: everything on the vCPU's own thread, or on another one while that
// waits; Run on its own alone. RequestExit on any. Specification:
// Documentation/virt/kvm/api.rst, "vcpu ioctls" and "The kvm_run structure".
#ifndef KVMLET_VMM_KVM_KVM_VCPU_H_
#define KVMLET_VMM_KVM_KVM_VCPU_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/kvm/kvm_fd.h"

struct kvm_run;

namespace kvmlet {

class KvmVcpu {
 public:
  static absl::StatusOr<std::unique_ptr<KvmVcpu>> Create(UniqueFd fd,
                                                         uint32_t id,
                                                         size_t mmap_size);

  uint32_t id() const { return id_; }
  const KvmFd& fd() const { return fd_; }
  kvm_run& run() const;
  // The bytes at an offset into the shared page (port I/O data).
  std::span<std::byte> RunPage(uint64_t offset, uint64_t length) const;

  // KVM_RUN: 0, or the errno (EINTR after a signal or RequestExit, EAGAIN).
  int Run() const;
  // Makes the current or the next Run return EINTR; stays set.
  void RequestExit() const;
  void ClearExitRequest() const;
  // Lets KVM finish the access that the last exit asked for, so that the
  // registers are consistent, without running guest code. The exit that may
  // follow is another part of the same access: true then.
  bool CompletePendingAccess() const;

 private:
  KvmVcpu(KvmFd fd, uint32_t id, MappedRegion page)
      : fd_(std::move(fd)), id_(id), page_(std::move(page)) {}
  KvmFd fd_;
  uint32_t id_;
  MappedRegion page_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_VCPU_H_
