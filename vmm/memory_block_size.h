// SPDX-License-Identifier: Apache-2.0
// Chooses the block size of a virtio-mem device (VIRTIO 1.3, section 5.15):
// what the host maps at once, or more where the device would have more blocks
// than the host has mappings. Two limits count: what a process may map, for
// shared memory, whose blocks are mapped one by one, and what the IOMMU's
// container may map, beside passed-through devices. All devices of a machine
// share both, in equal parts.
//
// Threads: any. Units: bytes. A size that the user gave and that the process
// cannot map is bad input, with the size that would do.
#ifndef KVMLET_VMM_MEMORY_BLOCK_SIZE_H_
#define KVMLET_VMM_MEMORY_BLOCK_SIZE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/config.h"

namespace kvmlet {

struct BlockLimits {
  uint64_t huge_page = 2ull << 20;
  uint64_t mappings = 65530;     // of a process
  uint64_t dma_entries = 65535;  // of a VFIO container
};

// Of this host.
BlockLimits ReadBlockLimits();

absl::StatusOr<uint64_t> ChooseBlockSize(
    const VirtioMemConfig& device, const std::vector<VirtioMemConfig>& all,
    bool passthrough, const BlockLimits& limits);

// "--virtio-mem ID".
std::string FlagOf(const VirtioMemConfig& config);

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_BLOCK_SIZE_H_
