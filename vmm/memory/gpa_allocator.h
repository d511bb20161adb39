// SPDX-License-Identifier: Apache-2.0
// Hands out parts of a window of guest-physical addresses, lowest first and
// for good: where the regions of memory devices lie. Not thread-safe. Units:
// bytes; alignments are powers of two.
#ifndef KVMLET_VMM_MEMORY_GPA_ALLOCATOR_H_
#define KVMLET_VMM_MEMORY_GPA_ALLOCATOR_H_

#include <cstdint>
#include <optional>

#include "vmm/memory/gpa.h"

namespace kvmlet {

class GpaAllocator {
 public:
  GpaAllocator(Gpa base, uint64_t size) : next_(base), left_(size) {}

  // Nothing, and nothing changed, when the rest of the window is too small.
  std::optional<Gpa> Take(uint64_t size, uint64_t alignment) {
    const uint64_t gap = (0 - next_.value) & (alignment - 1);
    if (gap > left_ || size > left_ - gap) return std::nullopt;
    const Gpa at = next_ + gap;
    next_ = at + size;
    left_ -= gap + size;
    return at;
  }
  uint64_t left() const { return left_; }

 private:
  Gpa next_;
  uint64_t left_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_GPA_ALLOCATOR_H_
