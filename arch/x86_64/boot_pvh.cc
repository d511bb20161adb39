// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/boot_pvh.h"

namespace kvmlet::arch::x86_64 {

std::vector<PvhMemoryMapEntry> BuildPvhMemoryMap(
    std::span<const E820Entry> map) {
  std::vector<PvhMemoryMapEntry> out;
  out.reserve(map.size());
  for (const E820Entry& entry : map) {
    out.push_back(
        {entry.base.value, entry.size, static_cast<uint32_t>(entry.type), 0});
  }
  return out;
}

}  // namespace kvmlet::arch::x86_64
