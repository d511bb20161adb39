// SPDX-License-Identifier: Apache-2.0
// Lets passed-through devices reach the blocks of one memory device, and only
// while they are plugged: a block is pinned when it is plugged and released
// before its pages go. Each block is a mapping of its own, because the kernel
// does not take a part of one away.
//
// Threads: as MemoryListener. Units: bytes. A block that cannot be pinned is
// an error, which refuses the plug.
#ifndef KVMLET_VMM_DMA_MAP_H_
#define KVMLET_VMM_DMA_MAP_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "devices/vfio/address_space.h"
#include "vmm/memory/memory_listener.h"

namespace kvmlet {

class DmaMap final : public MemoryListener {
 public:
  // The spaces outlive it.
  DmaMap(std::span<const std::unique_ptr<vfio::AddressSpace>> spaces,
         uint64_t block_size)
      : spaces_(spaces), block_size_(block_size) {}

  absl::Status OnPlug(const RamRegion& part) override;
  void OnUnplug(const RamRegion& part) override;

 private:
  absl::Status MapBlock(const RamRegion& part, uint64_t offset);
  void UnmapBlock(uint64_t address, size_t spaces);

  const std::span<const std::unique_ptr<vfio::AddressSpace>> spaces_;
  const uint64_t block_size_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DMA_MAP_H_
