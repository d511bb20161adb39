// SPDX-License-Identifier: Apache-2.0
// Which of the host's NUMA nodes a stretch of guest memory comes from. To be
// said before the memory is touched, or populated. Thread-safe; no state.
// Units: bytes. Specification: mbind(2), MPOL_BIND.
#ifndef KVMLET_VMM_MEMORY_HOST_NODES_H_
#define KVMLET_VMM_MEMORY_HOST_NODES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace kvmlet {

// A NUMA node of the guest: the next so many bytes of its RAM.
struct NodeBinding {
  uint64_t size = 0;
  std::vector<uint32_t> host_nodes;  // empty: as the process's policy says
};

// The pages come from these nodes and from no others. `flag` is the one to
// blame when the host does not have them.
absl::Status BindToHostNodes(std::string_view flag, std::byte* host,
                             uint64_t size,
                             std::span<const uint32_t> host_nodes);

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_HOST_NODES_H_
