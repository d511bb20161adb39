// SPDX-License-Identifier: Apache-2.0
// A stretch of guest-physical RAM, alone and with its host mapping. Plain
// values, thread-safe; units are bytes.
#ifndef KVMLET_VMM_MEMORY_RAM_REGION_H_
#define KVMLET_VMM_MEMORY_RAM_REGION_H_

#include <cstddef>
#include <cstdint>

#include "vmm/memory/gpa.h"

namespace kvmlet {

// One stretch of guest-physical RAM.
struct RamRange {
  Gpa base;
  uint64_t size = 0;
};

// A RamRange with its host mapping, as KVM and vhost need it.
struct RamRegion {
  Gpa base;
  uint64_t size = 0;
  std::byte* host = nullptr;
  uint64_t fd_offset = 0;  // within fd(), when there is one

  bool Contains(Gpa at, uint64_t length) const {
    return at >= base && length <= size && at - base <= size - length;
  }
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_RAM_REGION_H_
