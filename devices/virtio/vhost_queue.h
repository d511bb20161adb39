// SPDX-License-Identifier: Apache-2.0
// Hands virtqueues over to a vhost device: turns guest memory and a queue's
// rings into the host addresses that the kernel wants.
//
// Threads: none of its own. Errors: a ring that does not lie in one piece of
// host memory.
#ifndef KVMLET_DEVICES_VIRTIO_VHOST_QUEUE_H_
#define KVMLET_DEVICES_VIRTIO_VHOST_QUEUE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "devices/backend/vhost.h"
#include "devices/virtio/device.h"

namespace kvmlet::virtio {

std::vector<VhostRegion> VhostRegions(const GuestMemory& memory);

// Gives `queue`, which has a VirtQueue, to ring `ring` of the vhost device.
// The kernel signals `error_fd` when the driver breaks the ring.
absl::Status SetVhostRing(VhostDevice& vhost, uint32_t ring,
                          const ActiveState& state, const ActiveQueue& queue,
                          int error_fd);

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_VHOST_QUEUE_H_
