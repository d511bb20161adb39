// SPDX-License-Identifier: Apache-2.0
// A guest-physical address as a type of its own, so that it cannot be mixed up
// with a host pointer, an offset or a length. Addition wraps like the
// hardware's; every bounds check subtracts instead (see GuestMemory). Value
// type, thread-safe.
#ifndef KVMLET_VMM_MEMORY_GPA_H_
#define KVMLET_VMM_MEMORY_GPA_H_

#include <compare>
#include <cstdint>

namespace kvmlet {

struct Gpa {
  uint64_t value = 0;

  friend constexpr auto operator<=>(const Gpa&, const Gpa&) = default;
  constexpr Gpa operator+(uint64_t offset) const { return Gpa{value + offset}; }
  constexpr uint64_t operator-(Gpa other) const { return value - other.value; }
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_GPA_H_
