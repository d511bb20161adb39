// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "vmm/base/status_macros.h"
#include "vmm/config_checks.h"

namespace kvmlet {
namespace {

constexpr uint64_t kLeastMemory = 1ull << 20;
constexpr uint64_t kMostMemory = 1ull << 46;
// A smaller block could not give a huge page back.
constexpr uint64_t kLeastBlock = 2ull << 20;
constexpr size_t kMostNodes = 64;
constexpr uint8_t kLocalDistance = 10;

const char* PageName(BackingKind kind) {
  if (kind == BackingKind::kHugetlb2M) return "2 MiB, for hugepages=2M";
  if (kind == BackingKind::kHugetlb1G) return "1 GiB, for hugepages=1G";
  return "4 KiB";
}

absl::Status CheckDistances(const VmConfig& config, size_t node) {
  const std::vector<uint8_t>& distances = config.numa[node].distances;
  if (distances.empty()) return absl::OkStatus();
  if (distances.size() != config.numa.size()) {
    return Wrong("--numa: node ", node, " has ", distances.size(),
                 " distances; give one for each of the ", config.numa.size(),
                 " nodes, or none");
  }
  for (size_t to = 0; to < distances.size(); ++to) {
    if ((distances[to] == kLocalDistance) == (to == node) &&
        distances[to] >= kLocalDistance && distances[to] != UINT8_MAX) {
      continue;
    }
    return Wrong("--numa: distance ", distances[to], " from node ", node,
                 " to node ", to,
                 " must be 10 to itself and 11 to 254 to others");
  }
  return absl::OkStatus();
}

// Marks the node's vCPUs in `seen`.
absl::Status CheckNodeCpus(const VmConfig& config, size_t node,
                           std::vector<bool>& seen) {
  for (const uint32_t cpu : config.numa[node].cpus) {
    if (cpu >= config.cpus.count) {
      return Wrong("--numa: node ", node, " names vCPU ", cpu, ", but --cpus ",
                   config.cpus.count, " makes 0 to ", config.cpus.count - 1);
    }
    if (seen[cpu]) {
      return Wrong("--numa: vCPU ", cpu,
                   " is named twice; it belongs to one node");
    }
    seen[cpu] = true;
  }
  return absl::OkStatus();
}

// Memory can come to the node while the guest runs.
bool GrowsByDevices(const VmConfig& config, size_t node) {
  return std::ranges::any_of(config.virtio_mems,
                             [node](const VirtioMemConfig& mem) {
                               return mem.node.value_or(0) == node;
                             });
}

absl::Status CheckNodeMemory(const VmConfig& config, size_t index) {
  const NumaNodeConfig& node = config.numa[index];
  const bool grows = GrowsByDevices(config, index);
  if (node.cpus.empty() && node.memory == 0 && !grows) {
    return Wrong("--numa: node ", index,
                 " is empty; give it cpus= or memory= or a --virtio-mem with "
                 "node=",
                 index);
  }
  if (node.memory == 0 && !node.host_nodes.empty() && !grows) {
    return Wrong("--numa: node ", index,
                 " has host-nodes= and no memory; leave them out");
  }
  if (node.memory % BackingPageSize(config.memory.backing.kind) != 0) {
    return Wrong("--numa: node ", index, "'s memory is not a multiple of ",
                 PageName(config.memory.backing.kind));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMemory(const MemoryConfig& memory) {
  const BackingKind kind = memory.backing.kind;
  if (memory.size % BackingPageSize(kind) != 0) {
    return Wrong("--memory: ", memory.size, " bytes is not a multiple of ",
                 PageName(kind));
  }
  if (memory.size < kLeastMemory) {
    return Wrong("--memory: ", memory.size,
                 " bytes is too little; give at least 1M (a plain number is "
                 "bytes)");
  }
  if (memory.size > kMostMemory) {
    return Wrong("--memory: ", memory.size, " bytes is above 64T");
  }
  if (kind == BackingKind::kFile && memory.backing.file.empty()) {
    return Wrong("--memory: file= is empty; give it a path");
  }
  return absl::OkStatus();
}

absl::Status CheckNuma(const VmConfig& config) {
  if (config.numa.empty()) return absl::OkStatus();
  if (config.numa.size() > kMostNodes) {
    return Wrong("--numa: ", config.numa.size(), " nodes are above the ",
                 kMostNodes, " that there can be");
  }
  std::vector<bool> seen(config.cpus.count);
  uint64_t left = config.memory.size;
  for (size_t i = 0; i < config.numa.size(); ++i) {
    const NumaNodeConfig& node = config.numa[i];
    KVMLET_RETURN_IF_ERROR(CheckNodeMemory(config, i));
    if (node.memory > left) {
      return Wrong("--numa: the nodes have more memory than --memory, ",
                   config.memory.size, " bytes; make their sum equal");
    }
    left -= node.memory;
    KVMLET_RETURN_IF_ERROR(CheckNodeCpus(config, i, seen));
    KVMLET_RETURN_IF_ERROR(CheckDistances(config, i));
  }
  if (left != 0) {
    return Wrong("--numa: ", left,
                 " bytes of --memory belong to no node; make their sum equal");
  }
  const auto missing = std::ranges::find(seen, false);
  if (missing != seen.end()) {
    return Wrong("--numa: vCPU ", missing - seen.begin(),
                 " belongs to no node; add it to one's cpus=");
  }
  return absl::OkStatus();
}

absl::Status CheckVirtioMem(const VirtioMemConfig& mem, size_t nodes) {
  const uint64_t page = BackingPageSize(mem.backing.kind);
  const uint64_t block =
      mem.block == 0 ? std::max(kLeastBlock, page) : mem.block;
  if (!std::has_single_bit(block) || block < kLeastBlock || block < page) {
    return Wrong("--virtio-mem ", mem.id, ": block=", block,
                 " must be a power of two, at least ",
                 std::max(kLeastBlock, page));
  }
  if (mem.max == 0 || mem.max % block != 0 || mem.max > kMostMemory) {
    return Wrong("--virtio-mem ", mem.id, ": max=", mem.max,
                 " must be a multiple of the block, ", block,
                 ", above zero and at most 64T; ",
                 std::clamp(mem.max / block * block, block, kMostMemory),
                 " is one");
  }
  if (mem.size % block != 0) {
    return Wrong("--virtio-mem ", mem.id, ": size=", mem.size,
                 " is not a multiple of the block, ", block, "; ",
                 mem.size / block * block, " is one");
  }
  if (mem.size > mem.max) {
    return Wrong("--virtio-mem ", mem.id, ": size=", mem.size,
                 " is above max=", mem.max, "; raise that");
  }
  if (mem.node && *mem.node >= nodes) {
    return Wrong("--virtio-mem ", mem.id, ": node=", *mem.node,
                 " is not there; --numa makes ", nodes,
                 " nodes: add one, or leave node= out");
  }
  return absl::OkStatus();
}

}  // namespace kvmlet
