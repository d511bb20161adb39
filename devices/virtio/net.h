// SPDX-License-Identifier: Apache-2.0
// Network card: one or more queue pairs on I/O threads, or in the kernel
// (vhost-net), and a control queue. Checksum and segmentation offloads are
// those of the backend; frames to the guest are not filtered.
//
// Threads: as VirtioDevice; the loops are borrowed and outlive the device.
// Units: bytes. Errors: hostile queues lead to NEEDS_RESET; a backend that
// goes away takes the link down. Specification: Virtio 1.2, section 5.1.
#ifndef KVMLET_DEVICES_VIRTIO_NET_H_
#define KVMLET_DEVICES_VIRTIO_NET_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/backend/net_backend.h"
#include "devices/virtio/device.h"
#include "devices/virtio/net_control.h"
#include "devices/virtio/net_pair.h"
#include "devices/virtio/spec.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class NetDevice final : public VirtioDevice, private NetControlTarget {
 public:
  // Of the options only `mac` and `id` matter here. Queue pair i runs on loop
  // i modulo loops.size(), the control queue on the first one.
  static absl::StatusOr<std::unique_ptr<NetDevice>> Create(
      const NetOptions& options, std::unique_ptr<NetBackend> backend,
      std::vector<EventLoop*> loops);
  ~NetDevice() override { Reset(); }

  std::string_view name() const override { return "virtio-net"; }
  uint16_t device_type() const override { return kDeviceNet; }
  uint64_t device_features() const override { return features_; }
  std::span<const uint16_t> queue_sizes() const override {
    return queue_sizes_;
  }
  uint32_t config_size() const override;
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  // Every field is read-only.
  void WriteConfig(uint32_t /*offset*/,
                   std::span<const std::byte> /*data*/) override {}
  absl::Status Activate(ActiveState state) override;
  void Reset() override;

  // The data path is vhost-net.
  bool uses_vhost() const { return vhost_error_.has_value(); }

 private:
  NetDevice(std::string id, const MacAddress& mac,
            std::unique_ptr<NetBackend> backend, std::vector<EventLoop*> loops,
            std::optional<EventFd> vhost_error);

  // NetControlTarget.
  void SetMac(const MacAddress& mac) override;
  bool SetQueuePairs(uint16_t pairs) override;
  bool SetGuestOffloads(uint64_t offloads) override;

  absl::Status StartQueues();
  absl::Status StartPair(uint16_t pair);
  absl::Status StartVhost(uint16_t pair);
  absl::Status WatchVhostErrors();
  absl::Status StartControl(uint16_t queue);
  void StopVhost();
  void OnPortClosed();
  // Pairs that the driver can use.
  uint16_t usable_pairs() const;

  const std::string id_;
  const MacAddress initial_mac_;
  const std::unique_ptr<NetBackend> backend_;
  const std::vector<EventLoop*> loops_;
  // The kernel signals it when a driver breaks a ring; set when vhost is used.
  const std::optional<EventFd> vhost_error_;
  uint64_t features_ = 0;
  std::vector<uint16_t> queue_sizes_;
  LogLimiter log_;
  std::atomic<bool> link_up_{true};
  std::mutex mutex_;
  MacAddress mac_;  // guarded by mutex_

  // From Activate to Reset. Queues move on to the parts that serve them.
  ActiveState state_;
  bool watches_vhost_ = false;
  std::vector<std::unique_ptr<NetPair>> pairs_;
  std::unique_ptr<NetControl> control_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_NET_H_
