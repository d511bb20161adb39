// SPDX-License-Identifier: Apache-2.0
// Hands out guest RAM below 4 GiB while a guest is loaded: every structure,
// segment and initrd claims its place first, and a claim outside of RAM or on
// top of another one is refused. Not thread-safe; lives for one LoadGuest.
// Units: bytes. Errors name both parties and the remedy.
#ifndef KVMLET_ARCH_X86_64_BOOT_WRITER_H_
#define KVMLET_ARCH_X86_64_BOOT_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/x86_64/boot_plan.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::x86_64 {

class BootWriter {
 public:
  // Both outlive the writer.
  BootWriter(const GuestMemory& memory, std::span<const E820Entry> map)
      : memory_(memory), map_(map) {}

  const GuestMemory& memory() const { return memory_; }
  std::span<const E820Entry> map() const { return map_; }

  // `who` begins the error: "--kernel PATH", "the zero page".
  absl::Status Claim(std::string_view who, Gpa at, uint64_t size);
  // The highest free place that is page-aligned and ends at or below `limit`.
  absl::StatusOr<Gpa> ClaimHighest(std::string_view who, uint64_t size,
                                   uint64_t limit);

  // Claims and writes.
  absl::Status Write(std::string_view who, Gpa at,
                     std::span<const std::byte> bytes);
  template <typename T>
  absl::Status WriteObject(std::string_view who, Gpa at, const T& object) {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(who, at, std::as_bytes(std::span(&object, 1)));
  }

 private:
  struct Range {
    std::string who;
    uint64_t start = 0;
    uint64_t size = 0;
  };
  const Range* Conflict(uint64_t start, uint64_t size) const;
  bool InRam(uint64_t start, uint64_t size) const;
  uint64_t RamBelow4GiB() const;

  const GuestMemory& memory_;
  std::span<const E820Entry> map_;
  std::vector<Range> claims_;
};

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_BOOT_WRITER_H_
