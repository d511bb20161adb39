// SPDX-License-Identifier: Apache-2.0
// Splits RAM among NUMA nodes: each takes its share from where the one before
// it ended, over the ranges of RAM, in order. Not thread-safe; bytes.
#ifndef KVMLET_ARCH_COMMON_RAM_CUTTER_H_
#define KVMLET_ARCH_COMMON_RAM_CUTTER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {

class RamCutter {
 public:
  explicit RamCutter(std::vector<RamRange> ram) : ram_(std::move(ram)) {}
  std::vector<RamRange> Cut(uint64_t size) {
    std::vector<RamRange> parts;
    while (size > 0 && at_ < ram_.size()) {
      RamRange& range = ram_[at_];
      const uint64_t part = std::min(size, range.size);
      parts.push_back({range.base, part});
      range.base = range.base + part;
      range.size -= part;
      size -= part;
      if (range.size == 0) ++at_;
    }
    return parts;
  }

 private:
  std::vector<RamRange> ram_;
  size_t at_ = 0;
};

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_RAM_CUTTER_H_
