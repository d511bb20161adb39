// SPDX-License-Identifier: Apache-2.0
// The data path of one virtqueue of the block device: takes every available
// request, gives them to the disk with one call, and returns finished ones
// with one notification a batch.
//
// Threads: constructor and destructor on the loop's thread, or on any while
// the loop does not run; the loop calls the rest.
#ifndef KVMLET_DEVICES_VIRTIO_BLK_QUEUE_H_
#define KVMLET_DEVICES_VIRTIO_BLK_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/backend/block_backend.h"
#include "devices/virtio/blk_request.h"
#include "devices/virtio/device.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

// What the queues share with the device, whose configuration space and resize
// may change it at any time. The driver's features are fixed by then.
struct BlkShared {
  std::atomic<uint64_t> capacity{0};  // sectors
  std::atomic<bool> writeback{true};
  uint64_t features = 0;   // negotiated
  uint32_t alignment = 1;  // sectors
  bool read_only = false;
  std::string serial;
  LogLimiter* log = nullptr;
};

class BlkQueue {
 public:
  // Watches the queue's kick; all arguments outlive the queue.
  static absl::StatusOr<std::unique_ptr<BlkQueue>> Create(
      ActiveQueue queue, std::unique_ptr<BlockQueue> disk,
      const BlkShared& shared, DeviceEvents& events, EventLoop& loop);
  // Waits for what the kernel still does; nothing is returned to the driver.
  ~BlkQueue();
  BlkQueue(const BlkQueue&) = delete;
  BlkQueue& operator=(const BlkQueue&) = delete;

 private:
  BlkQueue(ActiveQueue queue, std::unique_ptr<BlockQueue> disk,
           const BlkShared& shared, DeviceEvents& events, EventLoop& loop);
  absl::Status Watch();
  void Service();
  bool TakeRequests();
  bool FinishRequests();
  void RefreshRules();
  void Complete(BlkRequest& request, uint8_t status);
  void PublishUsed();
  bool Linger();
  void Tune();
  void StopBroken();

  const uint16_t index_;
  VirtQueue queue_;
  const EventFd& kick_;
  const BlkShared& shared_;
  DeviceEvents& events_;
  EventLoop& loop_;
  BlkRules rules_;
  bool staged_ = false;
  bool stopped_ = false;
  // How long to look for more work before the driver is asked to kick, and
  // since when it has been asked.
  EventLoop::Clock::duration linger_{0};
  EventLoop::Clock::time_point idle_since_{};
  std::vector<BlkRequest> slots_;
  std::vector<uint32_t> free_slots_;
  std::unique_ptr<BlockQueue> disk_;  // Last: waits while the slots live.
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_BLK_QUEUE_H_
