// SPDX-License-Identifier: Apache-2.0
// The virtio entropy device: fills the driver's buffers with getrandom(). The
// kernel writes straight into guest RAM; a kick does a bounded amount of work.
//
// Threads: as device.h says; the data path runs on the loop, which outlives
// the device, or Reset() is called before it goes.
// Specification: Virtio 1.2, section 5.4.
#ifndef KVMLET_DEVICES_VIRTIO_RNG_H_
#define KVMLET_DEVICES_VIRTIO_RNG_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "devices/virtio/device.h"
#include "devices/virtio/spec.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class RngDevice : public VirtioDevice {
 public:
  // Longer buffers are filled up to here only, as the driver must expect.
  static constexpr uint32_t kMaxBytes = 64u << 10;

  explicit RngDevice(EventLoop& loop) : loop_(loop) {}
  ~RngDevice() override { Reset(); }

  std::string_view name() const override { return "virtio-rng"; }
  uint16_t device_type() const override { return kDeviceEntropy; }
  uint64_t device_features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override { return 0; }
  void ReadConfig(uint32_t, std::span<std::byte>) override {}
  void WriteConfig(uint32_t, std::span<const std::byte>) override {}
  absl::Status Activate(ActiveState state) override;
  void Reset() override;

 private:
  static constexpr std::array<uint16_t, 1> kQueueSizes{64};

  // The data path, on the loop between Activate and Reset.
  struct Active {
    VirtQueue queue;
    const EventFd& kick;
    DeviceEvents& events;
    std::vector<iovec> iovecs;
    std::optional<EventLoop::TimerId> retry;
  };
  void Service();
  bool Serve(DescriptorChain& chain);

  EventLoop& loop_;
  LogLimiter log_{"virtio-rng"};
  std::unique_ptr<Active> active_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_RNG_H_
