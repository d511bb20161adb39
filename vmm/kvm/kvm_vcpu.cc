// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm_vcpu.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>

#include "vmm/base/status_macros.h"

namespace kvmlet {

absl::StatusOr<std::unique_ptr<KvmVcpu>> KvmVcpu::Create(UniqueFd fd,
                                                         uint32_t id,
                                                         size_t mmap_size) {
  KVMLET_ASSIGN_OR_RETURN(MappedRegion page,
                          MappedRegion::Map(mmap_size, PROT_READ | PROT_WRITE,
                                            MAP_SHARED, fd.get(), 0));
  return std::unique_ptr<KvmVcpu>(
      new KvmVcpu(KvmFd(std::move(fd)), id, std::move(page)));
}

kvm_run& KvmVcpu::run() const {
  return *reinterpret_cast<kvm_run*>(page_.data());
}

std::span<std::byte> KvmVcpu::RunPage(uint64_t offset, uint64_t length) const {
  if (offset > page_.size() || length > page_.size() - offset) return {};
  return page_.bytes().subspan(offset, length);
}

int KvmVcpu::Run() const {
  return ::ioctl(fd_.get(), KVM_RUN, 0) == 0 ? 0 : errno;
}

void KvmVcpu::RequestExit() const {
  __atomic_store_n(&run().immediate_exit, 1, __ATOMIC_SEQ_CST);
}

void KvmVcpu::ClearExitRequest() const {
  __atomic_store_n(&run().immediate_exit, 0, __ATOMIC_SEQ_CST);
}

bool KvmVcpu::CompletePendingAccess() const {
  RequestExit();
  return Run() == 0;
}

}  // namespace kvmlet
