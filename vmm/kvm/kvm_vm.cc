// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm_vm.h"

#include <linux/kvm.h>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/kvm_vcpu.h"

namespace kvmlet {
namespace {

constexpr KvmSet<kvm_userspace_memory_region> kSetUserMemoryRegion{
    KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION"};
constexpr KvmCall kCreateVcpu{KVM_CREATE_VCPU, "KVM_CREATE_VCPU"};
constexpr KvmCall kCheckExtension{KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION"};
constexpr KvmSet<kvm_irq_level> kIrqLine{KVM_IRQ_LINE, "KVM_IRQ_LINE"};
constexpr KvmSet<kvm_irqfd> kIrqfd{KVM_IRQFD, "KVM_IRQFD"};
constexpr KvmSet<kvm_ioeventfd> kIoeventfd{KVM_IOEVENTFD, "KVM_IOEVENTFD"};
constexpr KvmSet<KvmListHeader> kSetGsiRouting{_IOW(KVMIO, 0x6a, KvmListHeader),
                                               "KVM_SET_GSI_ROUTING"};

}  // namespace

absl::StatusOr<std::unique_ptr<KvmVm>> KvmVm::Create(const KvmSystem& system,
                                                     unsigned long type) {
  KVMLET_ASSIGN_OR_RETURN(UniqueFd fd, system.CreateVm(type));
  return std::unique_ptr<KvmVm>(
      new KvmVm(KvmFd(std::move(fd)), system.vcpu_mmap_size()));
}

absl::Status KvmVm::SetMemorySlot(uint32_t slot, Gpa base, uint64_t size,
                                  const void* host, uint32_t flags) {
  const kvm_userspace_memory_region region{
      .slot = slot,
      .flags = flags,
      .guest_phys_addr = base.value,
      .memory_size = size,
      .userspace_addr = reinterpret_cast<uint64_t>(host)};
  return fd_.Set(kSetUserMemoryRegion, region);
}

absl::StatusOr<uint32_t> KvmVm::AddMemorySlot(Gpa base, uint64_t size,
                                              const void* host,
                                              uint32_t flags) {
  const std::lock_guard lock(mutex_);
  const bool fresh = free_slots_.empty();
  const uint32_t slot = fresh ? next_slot_ : free_slots_.back();
  const absl::Status status = SetMemorySlot(slot, base, size, host, flags);
  if (!status.ok()) {
    return Prefixed(absl::StrCat("memory slot ", slot, " of ",
                                 CheckExtension(KVM_CAP_NR_MEMSLOTS)),
                    status);
  }
  if (fresh) {
    ++next_slot_;
  } else {
    free_slots_.pop_back();
  }
  return slot;
}

absl::Status KvmVm::RemoveMemorySlot(uint32_t slot) {
  const std::lock_guard lock(mutex_);
  KVMLET_RETURN_IF_ERROR(SetMemorySlot(slot, Gpa{0}, 0, nullptr, 0));
  free_slots_.push_back(slot);
  return absl::OkStatus();
}

absl::Status KvmVm::MapMemory(const GuestMemory& memory) {
  for (const RamRegion& region : memory.regions()) {
    KVMLET_RETURN_IF_ERROR(
        AddMemorySlot(region.base, region.size, region.host, 0).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<KvmVcpu>> KvmVm::CreateVcpu(uint32_t id) {
  KVMLET_ASSIGN_OR_RETURN(const int fd, fd_.Call(kCreateVcpu, id));
  return KvmVcpu::Create(UniqueFd(fd), id, vcpu_mmap_size_);
}

int KvmVm::CheckExtension(unsigned long capability) const {
  return fd_.Call(kCheckExtension, capability).value_or(0);
}

absl::Status KvmVm::EnableCapability(uint32_t capability, uint64_t argument,
                                     const char* name) const {
  const KvmSet<kvm_enable_cap> request{KVM_ENABLE_CAP, name};
  kvm_enable_cap cap{};
  cap.cap = capability;
  cap.args[0] = argument;
  return fd_.Set(request, cap);
}

absl::Status KvmVm::SetIrqLine(uint32_t irq, bool asserted) const {
  kvm_irq_level level{};
  level.irq = irq;
  level.level = asserted ? 1 : 0;
  return fd_.Set(kIrqLine, level);
}

absl::Status KvmVm::AssignIrqfd(int event_fd, uint32_t gsi,
                                int resample_fd) const {
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<uint32_t>(event_fd);
  irqfd.gsi = gsi;
  if (resample_fd >= 0) {
    irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
    irqfd.resamplefd = static_cast<uint32_t>(resample_fd);
  }
  return fd_.Set(kIrqfd, irqfd);
}

absl::Status KvmVm::DeassignIrqfd(int event_fd, uint32_t gsi) const {
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<uint32_t>(event_fd);
  irqfd.gsi = gsi;
  irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
  return fd_.Set(kIrqfd, irqfd);
}

absl::Status KvmVm::SetGsiRouting(IrqRoutes& routes) const {
  return fd_.Set(kSetGsiRouting, routes.header());
}

absl::Status KvmVm::Attach(uint64_t mmio_address, int event_fd) {
  kvm_ioeventfd doorbell{};
  doorbell.addr = mmio_address;
  doorbell.fd = event_fd;
  return fd_.Set(kIoeventfd, doorbell);
}

absl::Status KvmVm::Detach(uint64_t mmio_address, int event_fd) {
  kvm_ioeventfd doorbell{};
  doorbell.addr = mmio_address;
  doorbell.fd = event_fd;
  doorbell.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
  return fd_.Set(kIoeventfd, doorbell);
}

absl::StatusOr<uint32_t> KvmVm::MapHost(uint64_t guest, uint64_t size,
                                        const void* host) {
  return AddMemorySlot(Gpa{guest}, size, host, 0);
}

absl::Status KvmVm::UnmapHost(uint32_t mapping) {
  return RemoveMemorySlot(mapping);
}

}  // namespace kvmlet
