// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/vhost_queue.h"

#include <sys/uio.h>

#include "absl/strings/str_format.h"
#include "devices/virtio/spec.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

absl::StatusOr<const std::byte*> HostAddress(const GuestMemory& memory, Gpa at,
                                             uint64_t size) {
  std::vector<iovec> parts;
  if (!memory.Iovecs(at, size, parts) || parts.size() != 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "virtqueue part at 0x%x is not in one piece of RAM", at.value));
  }
  return static_cast<const std::byte*>(parts.front().iov_base);
}

}  // namespace

std::vector<VhostRegion> VhostRegions(const GuestMemory& memory) {
  std::vector<VhostRegion> regions;
  for (const RamRegion& region : memory.regions()) {
    regions.push_back({region.base.value, region.size, region.host});
  }
  // The whole of it: what is not plugged has no pages there, or scratch ones
  // that are counted, and host addresses never change.
  for (const auto& device : memory.devices()) {
    const RamRegion all = device->Part(0, device->block_count());
    regions.push_back({all.base.value, all.size, all.host});
  }
  for (const auto& file : memory.files()) {
    const RamRegion& region = file->region();
    regions.push_back({region.base.value, region.size, region.host});
  }
  return regions;
}

absl::Status SetVhostRing(VhostDevice& vhost, uint32_t ring,
                          const ActiveState& state, const ActiveQueue& queue,
                          int error_fd) {
  const QueueConfig& config = queue.queue->config();
  VhostRing target;
  target.size = config.size;
  KVMLET_ASSIGN_OR_RETURN(
      target.desc,
      HostAddress(*state.memory, config.desc, sizeof(VirtqDesc) * config.size));
  KVMLET_ASSIGN_OR_RETURN(
      target.avail,
      HostAddress(*state.memory, config.driver, AvailRingSize(config.size)));
  KVMLET_ASSIGN_OR_RETURN(target.used, HostAddress(*state.memory, config.device,
                                                   UsedRingSize(config.size)));
  target.kick = queue.kick->get();
  target.call = state.events->QueueCallFd(queue.index);
  target.error = error_fd;
  return vhost.SetRing(ring, target);
}

}  // namespace kvmlet::virtio
