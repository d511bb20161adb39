// SPDX-License-Identifier: Apache-2.0
#include "vmm/dma_map.h"

#include <glog/logging.h>

namespace kvmlet {

void DmaMap::UnmapBlock(uint64_t address, size_t spaces) {
  for (const auto& space : spaces_.first(spaces)) {
    const absl::Status status = space->Unmap(address);
    // The page would be the device's and nobody else's.
    LOG_IF(ERROR, !status.ok()) << status;
  }
}

absl::Status DmaMap::MapBlock(const RamRegion& part, uint64_t offset) {
  const uint64_t address = part.base.value + offset;
  for (size_t i = 0; i < spaces_.size(); ++i) {
    absl::Status status =
        spaces_[i]->Map(address, block_size_, part.host + offset);
    if (status.ok()) continue;
    UnmapBlock(address, i);
    return status;
  }
  return absl::OkStatus();
}

absl::Status DmaMap::OnPlug(const RamRegion& part) {
  for (uint64_t at = 0; at < part.size; at += block_size_) {
    absl::Status status = MapBlock(part, at);
    if (status.ok()) continue;
    for (uint64_t undo = 0; undo < at; undo += block_size_) {
      UnmapBlock(part.base.value + undo, spaces_.size());
    }
    return status;
  }
  return absl::OkStatus();
}

void DmaMap::OnUnplug(const RamRegion& part) {
  for (uint64_t at = 0; at < part.size; at += block_size_) {
    UnmapBlock(part.base.value + at, spaces_.size());
  }
}

}  // namespace kvmlet
