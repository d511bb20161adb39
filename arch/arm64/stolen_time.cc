// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/stolen_time.h"

#include <linux/kvm.h>
#include <sys/mman.h>

#include <utility>

#include "arch/arm64/layout.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/kvm_device.h"

namespace kvmlet::arch::arm64 {
namespace {

// KVM wants this alignment; 16 bytes are in use.
constexpr uint64_t kStride = 64;
static_assert(kMaxVcpus * kStride <= kStolenTimeSize);

}  // namespace

absl::StatusOr<std::unique_ptr<StolenTime>> StolenTime::Create(
    GuestMapper& vm) {
  KVMLET_ASSIGN_OR_RETURN(
      MappedRegion page,
      MappedRegion::Map(kStolenTimeSize, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  KVMLET_RETURN_IF_ERROR(
      vm.MapHost(kStolenTime, kStolenTimeSize, page.data()).status());
  return std::unique_ptr<StolenTime>(new StolenTime(std::move(page)));
}

Gpa StolenTime::AddressOf(uint32_t index) {
  return Gpa{kStolenTime} + index * kStride;
}

absl::Status StolenTime::Offer(const KvmVcpu& vcpu, uint32_t index) {
  const uint64_t address = AddressOf(index).value;
  return SetDeviceAttribute(vcpu.fd(), "the address of the stolen time",
                            KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA,
                            &address);
}

void StolenTime::Reset() const {
  // Gives the pages back, and zeroes come in their place.
  ::madvise(page_.data(), page_.size(), MADV_DONTNEED);
}

}  // namespace kvmlet::arch::arm64
