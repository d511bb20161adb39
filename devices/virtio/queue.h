// SPDX-License-Identifier: Apache-2.0
// Split virtqueue, device side. Pop() returns only chains that were walked and
// validated whole: every buffer lies inside guest RAM, device-readable buffers
// come before device-writable ones, the chain ends. A driver that breaks a
// rule makes the queue broken(): Pop() then returns nothing for ever and
// error() says why.
//
//   while (std::optional<DescriptorChain> chain = queue.Pop()) {
//     ... chain->reader(), chain->writer() ...
//     queue.Push(chain->head(), chain->writer().written());
//   }
//   if (queue.broken()) events->SetNeedsReset(queue.error());
//   else if (queue.ShouldNotify()) events->NotifyQueue(index);
//
// Threads: not thread-safe; one I/O thread owns it between Activate and Reset.
// Specification: Virtio 1.2, section 2.7 "Split Virtqueues".
#ifndef KVMLET_DEVICES_VIRTIO_QUEUE_H_
#define KVMLET_DEVICES_VIRTIO_QUEUE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/virtio/chain.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::virtio {

// The driver's set-up of one queue, as written to the common configuration.
struct QueueConfig {
  uint16_t size = 0;
  bool enabled = false;
  Gpa desc;    // descriptor table
  Gpa driver;  // available ring
  Gpa device;  // used ring
};

class VirtQueue {
 public:
  // `features` are the negotiated ones (EVENT_IDX, INDIRECT_DESC matter).
  // Fails when a ring is misaligned or not wholly in RAM.
  static absl::StatusOr<VirtQueue> Create(const GuestMemory& memory,
                                          const QueueConfig& config,
                                          uint64_t features);

  VirtQueue(VirtQueue&&) = default;
  VirtQueue& operator=(VirtQueue&&) = default;

  uint16_t size() const { return config_.size; }
  const QueueConfig& config() const { return config_; }

  // The next available chain; nothing when the ring is empty or broken.
  std::optional<DescriptorChain> Pop();
  // Gives back the chain that Pop returned last (it will be popped again):
  // for a device that finds it cannot serve it yet. Only right after Pop.
  void Unpop();
  // True when the driver has made more chains available (reads avail.idx).
  bool HasAvailable();
  // Returns a chain with the number of bytes written into it. Fails silently
  // on a broken queue.
  void Push(uint16_t head, uint32_t written);
  // Several used entries published with one index update (mergeable receive
  // buffers): stage them, then publish.
  void Stage(uint16_t head, uint32_t written);
  void Publish();

  // After one or more pushes: does the driver want a notification? Reads
  // used_event or the avail flags once; call it once per batch.
  bool ShouldNotify();
  // Asks the driver for (no) kicks while the device polls. After enabling,
  // look at HasAvailable once more: a kick may have been missed.
  void EnableKicks();
  void DisableKicks();

  bool broken() const { return broken_; }
  const std::string& error() const { return error_; }
  void Break(std::string reason);

 private:
  VirtQueue(const GuestMemory& memory, const QueueConfig& config,
            uint64_t features);
  bool Refresh();
  bool StoreAvailEvent();
  Gpa AvailAt(uint64_t offset) const { return config_.driver + offset; }
  Gpa UsedAt(uint64_t offset) const { return config_.device + offset; }

  const GuestMemory* memory_;
  QueueConfig config_;
  bool event_index_ = false;
  bool indirect_ = false;
  bool kicks_enabled_ = true;
  uint16_t next_avail_ = 0;      // next available entry to take
  uint16_t avail_index_ = 0;     // last avail.idx that was read
  uint16_t next_used_ = 0;       // next used entry to write
  uint16_t published_used_ = 0;  // used.idx as the driver sees it
  uint16_t signalled_used_ = 0;  // used.idx at the last ShouldNotify
  bool broken_ = false;
  std::string error_;
  std::vector<iovec> scratch_;  // reused by Pop, so that it allocates rarely
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_QUEUE_H_
