// SPDX-License-Identifier: Apache-2.0
// Persistent memory: tells the driver where in guest memory a file is mapped,
// and brings what the guest wrote there onto the disk when the driver asks.
// Reads and writes themselves never reach the device.
//
// A flush covers every request that was there when it began; those that come
// meanwhile share the next one. Nothing waits on the loop: the host's kernel
// carries the flush out.
//
// Threads: as device.h says; the data path runs on the loop, which outlives
// the device, or Reset() is called before it goes.
// Specification: Virtio 1.2, section 5.19.
#ifndef KVMLET_DEVICES_VIRTIO_PMEM_H_
#define KVMLET_DEVICES_VIRTIO_PMEM_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/backend/block_backend.h"
#include "devices/virtio/device.h"
#include "devices/virtio/spec.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

// Section 5.19.4.
struct PmemConfig {
  uint64_t start = 0;
  uint64_t size = 0;
};
// Section 5.19.6: requests of 4 bytes, answers of 4 bytes.
inline constexpr uint32_t kPmemRequestFlush = 0;
inline constexpr uint32_t kPmemOk = 0;
inline constexpr uint32_t kPmemError = 1;

class PmemDevice : public VirtioDevice {
 public:
  // Without a disk nothing reaches the file, and a flush has nothing to do.
  PmemDevice(PmemConfig config, std::unique_ptr<BlockBackend> disk,
             std::string label, EventLoop& loop);
  ~PmemDevice() override { Reset(); }

  std::string_view name() const override { return "virtio-pmem"; }
  uint16_t device_type() const override { return kDevicePmem; }
  uint64_t device_features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override { return sizeof(config_); }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
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
    std::vector<DescriptorChain> waiting;   // for the next flush
    std::vector<DescriptorChain> flushing;  // answered by the one that runs
    bool busy = false;
    bool stopped = false;  // the driver must reset
    BlockRequest flush;
    std::unique_ptr<BlockQueue> disk;  // Last: it lets go of `flush` first.
  };
  absl::Status Start(ActiveQueue queue, DeviceEvents& events);
  void Service();
  bool TakeRequests();
  void Take(DescriptorChain chain);
  void StartFlush();
  bool FinishFlush();
  void Answer(DescriptorChain& chain, uint32_t result);

  const PmemConfig config_;
  const std::unique_ptr<BlockBackend> disk_;
  const std::string label_;  // in log lines
  EventLoop& loop_;
  LogLimiter log_;
  std::unique_ptr<Active> active_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_PMEM_H_
