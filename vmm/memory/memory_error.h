// SPDX-License-Identifier: Apache-2.0
// An uncorrected error of the host's memory: as the host tells it, and as the
// guest has to hear of it. Plain values, thread-safe; sizes are bytes.
#ifndef KVMLET_VMM_MEMORY_MEMORY_ERROR_H_
#define KVMLET_VMM_MEMORY_MEMORY_ERROR_H_

#include <cstddef>
#include <cstdint>

#include "vmm/memory/gpa.h"

namespace kvmlet {

// What SIGBUS says: sigaction(2), si_addr and si_addr_lsb.
struct BusError {
  const std::byte* at = nullptr;
  uint64_t size = 0;  // a power of two: a page, of any kind, or a cache line
  // The access of the thread that hears of it met the error, and cannot go on.
  bool action_required = false;
};

struct MemoryError {
  Gpa at;
  bool action_required = false;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_MEMORY_ERROR_H_
