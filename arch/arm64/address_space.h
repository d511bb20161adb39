// SPDX-License-Identifier: Apache-2.0
// How large the guest's physical address space is: RAM lies in its lower half
// and the 64-bit PCI window is its upper half. Pure functions, thread-safe;
// bytes. Specification: Documentation/virt/kvm/api.rst, KVM_CREATE_VM.
#ifndef KVMLET_ARCH_ARM64_ADDRESS_SPACE_H_
#define KVMLET_ARCH_ARM64_ADDRESS_SPACE_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "arch/arm64/layout.h"

namespace kvmlet::arch::arm64 {

// Enough for all but giants, and three levels of stage-2 tables.
inline constexpr uint32_t kUsualAddressBits = 40;
// A guest without large virtual and physical addresses maps no more.
inline constexpr uint32_t kMostAddressBits = 48;

inline uint64_t LargestRam(uint32_t bits) {
  return (1ull << (std::min(bits, kMostAddressBits) - 1)) - kRam;
}

// Nothing when `most` bits, the host's limit, are too few for so much RAM.
inline std::optional<uint32_t> AddressBits(uint64_t ram, uint32_t most) {
  const uint32_t limit = std::min(most, kMostAddressBits);
  for (uint32_t bits = std::min(kUsualAddressBits, limit); bits <= limit;
       ++bits) {
    if (ram <= LargestRam(bits)) return bits;
  }
  return std::nullopt;
}

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_ADDRESS_SPACE_H_
