// SPDX-License-Identifier: Apache-2.0
// One virtual machine's file descriptor: memory slots, vCPU creation, irqfds,
// ioeventfds, capabilities. Devices reach it only as a DoorbellRegistry, and
// through IrqRouter.
//
// Threads: any, the kernel serialises. Sizes are bytes.
// Specification: Documentation/virt/kvm/api.rst, "VM ioctls".
#ifndef KVMLET_VMM_KVM_KVM_VM_H_
#define KVMLET_VMM_KVM_KVM_VM_H_

#include <linux/kvm.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/bus/doorbell.h"
#include "vmm/bus/guest_mapper.h"
#include "vmm/kvm/kvm_fd.h"
#include "vmm/kvm/kvm_list.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

class KvmVcpu;
using IrqRoutes = KvmList<kvm_irq_routing_entry>;

class KvmVm : public DoorbellRegistry, public GuestMapper {
 public:
  static absl::StatusOr<std::unique_ptr<KvmVm>> Create(const KvmSystem& system,
                                                       unsigned long type = 0);

  // One memory slot a region. Call it before the interrupt controller is
  // created: the first slot after KVM_CREATE_IRQCHIP waits for an SRCU grace
  // period of milliseconds.
  absl::Status MapMemory(const GuestMemory& memory);
  // Maps memory under a slot number of its own, which it returns.
  absl::StatusOr<uint32_t> AddMemorySlot(Gpa base, uint64_t size,
                                         const void* host, uint32_t flags);
  absl::Status RemoveMemorySlot(uint32_t slot);
  // The request itself, for numbers that AddMemorySlot does not know.
  absl::Status SetMemorySlot(uint32_t slot, Gpa base, uint64_t size,
                             const void* host, uint32_t flags);

  absl::StatusOr<std::unique_ptr<KvmVcpu>> CreateVcpu(uint32_t id);
  // KVM_CHECK_EXTENSION of this VM.
  int CheckExtension(unsigned long capability) const;
  absl::Status EnableCapability(uint32_t capability, uint64_t argument,
                                const char* name) const;

  absl::Status SetIrqLine(uint32_t irq, bool asserted) const;
  // With `resample_fd` the interrupt is a level, lowered when the guest
  // acknowledges it, which signals that eventfd.
  absl::Status AssignIrqfd(int event_fd, uint32_t gsi,
                           int resample_fd = -1) const;
  absl::Status DeassignIrqfd(int event_fd, uint32_t gsi) const;
  absl::Status SetGsiRouting(IrqRoutes& routes) const;

  absl::Status Attach(uint64_t mmio_address, int event_fd) override;
  absl::Status Detach(uint64_t mmio_address, int event_fd) override;

  absl::StatusOr<uint32_t> MapHost(uint64_t guest, uint64_t size,
                                   const void* host) override;
  absl::Status UnmapHost(uint32_t mapping) override;

  const KvmFd& fd() const { return fd_; }

 private:
  KvmVm(KvmFd fd, size_t vcpu_mmap_size)
      : fd_(std::move(fd)), vcpu_mmap_size_(vcpu_mmap_size) {}
  KvmFd fd_;
  size_t vcpu_mmap_size_;
  std::mutex mutex_;
  uint32_t next_slot_ = 0;            // never used so far; guarded by mutex_
  std::vector<uint32_t> free_slots_;  // used before; guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_VM_H_
