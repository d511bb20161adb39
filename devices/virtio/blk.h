// SPDX-License-Identifier: Apache-2.0
// The virtio block device: a raw disk with one or more queues, each served on
// an event loop of its own choice. Reads and writes go between the guest's
// pages and the backend without a copy.
//
// Threads: the VirtioDevice members as device.h says; Resize from any thread.
// The loops outlive the device, or Reset() is called before they go.
// Specification: Virtio 1.2, section 5.2.
#ifndef KVMLET_DEVICES_VIRTIO_BLK_H_
#define KVMLET_DEVICES_VIRTIO_BLK_H_

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/backend/block_backend.h"
#include "devices/virtio/blk_queue.h"
#include "devices/virtio/blk_spec.h"
#include "devices/virtio/device.h"
#include "devices/virtio/spec.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class BlkDevice : public VirtioDevice {
 public:
  // Queue i runs on loops[i % loops.size()]; there is at least one loop.
  static absl::StatusOr<std::unique_ptr<BlkDevice>> Create(
      const DiskOptions& options, std::unique_ptr<BlockBackend> backend,
      std::vector<EventLoop*> loops);
  ~BlkDevice() override;

  std::string_view name() const override { return "virtio-blk"; }
  uint16_t device_type() const override { return kDeviceBlock; }
  uint64_t device_features() const override;
  std::span<const uint16_t> queue_sizes() const override {
    return queue_sizes_;
  }
  uint32_t config_size() const override { return sizeof(BlkConfig); }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  absl::Status Activate(ActiveState state) override;
  void Reset() override;

  // Asks the host for the disk's size again and tells the driver when it
  // changed.
  absl::Status Resize();
  uint64_t capacity_sectors() const { return shared_.capacity.load(); }

 private:
  BlkDevice(const DiskOptions& options, std::unique_ptr<BlockBackend> backend,
            std::vector<EventLoop*> loops);
  BlkConfig Config() const;
  absl::Status StartQueue(ActiveQueue queue, DeviceEvents& events);
  EventLoop& LoopOf(size_t queue) { return *loops_[queue % loops_.size()]; }

  const std::string label_;  // in log lines
  LogLimiter log_;
  std::unique_ptr<BlockBackend> backend_;
  std::vector<EventLoop*> loops_;
  std::vector<uint16_t> queue_sizes_;
  BlkShared shared_;
  std::mutex mutex_;
  DeviceEvents* events_ = nullptr;  // guarded by mutex_; set while active
  std::vector<std::unique_ptr<BlkQueue>> queues_;  // by index; some are null
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_BLK_H_
