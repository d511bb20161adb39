// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory_block_size.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

// Of a container: RAM, BARs of other devices, files.
constexpr uint64_t kOtherDmaEntries = 512;

// The file's number, or what it has while there is none.
void ReadNumber(const char* path, uint64_t* number) {
  uint64_t value = 0;
  if (std::ifstream(path) >> value && value > 0) *number = value;
}

bool IsShared(const VirtioMemConfig& config) {
  return config.backing.shared ||
         config.backing.kind != BackingKind::kAnonymous;
}

// A guest that unplugs every other block of shared memory makes a mapping of
// each, and the monitor must have some left for itself.
uint64_t MostByMappings(const std::vector<VirtioMemConfig>& all,
                        const BlockLimits& limits) {
  const auto shared = std::ranges::count_if(all, IsShared);
  return limits.mappings / 2 /
         std::max<uint64_t>(1, static_cast<uint64_t>(shared));
}

uint64_t MostByDma(const std::vector<VirtioMemConfig>& all,
                   const BlockLimits& limits) {
  const uint64_t left =
      limits.dma_entries - std::min(limits.dma_entries / 2, kOtherDmaEntries);
  return std::max<uint64_t>(1, left / all.size());
}

uint64_t Raise(uint64_t block, uint64_t size, uint64_t most_blocks) {
  while (size / block > most_blocks) block *= 2;
  return block;
}

}  // namespace

std::string FlagOf(const VirtioMemConfig& config) {
  return absl::StrCat("--virtio-mem ", config.id);
}

BlockLimits ReadBlockLimits() {
  BlockLimits limits;
  const uint64_t least = limits.huge_page;
  ReadNumber("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
             &limits.huge_page);
  limits.huge_page = std::max(limits.huge_page, least);
  ReadNumber("/proc/sys/vm/max_map_count", &limits.mappings);
  ReadNumber("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
             &limits.dma_entries);
  return limits;
}

absl::StatusOr<uint64_t> ChooseBlockSize(
    const VirtioMemConfig& device, const std::vector<VirtioMemConfig>& all,
    bool passthrough, const BlockLimits& limits) {
  const bool chosen = device.block != 0;
  const uint64_t block =
      chosen ? device.block
             : std::max(limits.huge_page, BackingPageSize(device.backing.kind));
  uint64_t least = block;
  if (IsShared(device)) {
    least = Raise(block, device.max, MostByMappings(all, limits));
  }
  if (chosen && least > block) {
    return BadInput(absl::StrCat(
        FlagOf(device), ": block=", block >> 20, "M makes ", device.max / block,
        " blocks, more than the host's mappings are enough for; use block=",
        least >> 20, "M or raise /proc/sys/vm/max_map_count"));
  }
  // Not every interface to the IOMMU has the limit: a size that the user gave
  // stays, and a plug beyond the limit is refused.
  if (passthrough && !chosen) {
    least = Raise(least, device.max, MostByDma(all, limits));
  }
  return least;
}

}  // namespace kvmlet
