// SPDX-License-Identifier: Apache-2.0
#include "vmm/core/virtual_segments.h"

#include <algorithm>

namespace kvmlet {

std::vector<Elf64_Phdr> VirtualSegments(
    std::span<const arch::CoreMapping> mappings,
    std::span<const CoreRange> ranges, size_t most) {
  std::vector<Elf64_Phdr> segments;
  for (const arch::CoreMapping& mapping : mappings) {
    const uint64_t first = mapping.at.value;
    const uint64_t last = first + (mapping.size - 1);
    if (mapping.size == 0 || last < first) continue;
    // The first range that does not end before it.
    auto range = std::ranges::partition_point(ranges, [&](const CoreRange& r) {
      return r.base.value + (r.size - 1) < first;
    });
    for (; range != ranges.end() && range->base.value <= last; ++range) {
      if (segments.size() >= most) return segments;
      const uint64_t low = std::max(first, range->base.value);
      const uint64_t high =
          std::min(last, range->base.value + (range->size - 1));
      Elf64_Phdr segment{};
      segment.p_type = PT_LOAD;
      segment.p_flags = PF_R | PF_W | PF_X;
      segment.p_offset = range->offset + (low - range->base.value);
      segment.p_vaddr = mapping.address + (low - first);
      segment.p_paddr = low;
      segment.p_filesz = high - low + 1;
      segment.p_memsz = segment.p_filesz;
      segments.push_back(segment);
    }
  }
  return segments;
}

}  // namespace kvmlet
