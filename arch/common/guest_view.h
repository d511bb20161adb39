// SPDX-License-Identifier: Apache-2.0
// Guest memory by virtual address, as one vCPU sees it: every byte goes through
// the page walk and through GuestMemory, so that nothing but RAM is ever
// touched. Immutable, thread-safe; what it refers to outlives it.
//
// Units: bytes. Errors: an access that is not wholly mapped RAM is false or
// nullopt.
#ifndef KVMLET_ARCH_COMMON_GUEST_VIEW_H_
#define KVMLET_ARCH_COMMON_GUEST_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "arch/backtrace.h"
#include "arch/debug.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {

class GuestView {
 public:
  GuestView(const AddressSpace& space, const GuestMemory& memory)
      : space_(space), memory_(memory) {}

  [[nodiscard]] bool Read(uint64_t address, std::span<std::byte> out) const;
  template <typename T>
  std::optional<T> Load(uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (!Read(address, std::as_writable_bytes(std::span(&value, 1)))) return {};
    return value;
  }

 private:
  const AddressSpace& space_;
  const GuestMemory& memory_;
};

// A kernel is moved by 2 MiB on x86-64, and by 64 KiB at least on arm64.
constexpr bool PlausibleOffset(uint64_t offset) {
  return offset % 0x10000 == 0;
}

// Whether a Linux of this file runs at this offset: its banner is where the
// file says. A file that does not say is believed.
bool HasBanner(const GuestView& view, const KernelFile& file, uint64_t offset);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_GUEST_VIEW_H_
