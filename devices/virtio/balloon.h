// SPDX-License-Identifier: Apache-2.0
// The memory balloon: takes pages that the guest's driver gives up or reports
// as free, gives them back to the host, and asks the guest how its memory is
// used. What the guest says of its own memory it may also say wrongly: it loses
// its own bytes then, nothing else.
//
// Threads: VirtioDevice members as device.h says; SetTarget, SetStatsInterval,
// Inhibit and the getters from any thread but the loop's. The data path runs on
// the loop, which outlives the device, or Reset() is called before it goes.
// Units: pages are 4 KiB. Specification: Virtio 1.2, section 5.5.
#ifndef KVMLET_DEVICES_VIRTIO_BALLOON_H_
#define KVMLET_DEVICES_VIRTIO_BALLOON_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "devices/virtio/balloon_spec.h"
#include "devices/virtio/device.h"
#include "devices/virtio/spec.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

struct BalloonOptions {
  bool reporting = false;
  bool deflate_on_oom = false;
  std::chrono::seconds stats_interval{0};  // see SetStatsInterval
  // Memory reads as zeroes after it was given back; otherwise a guest that
  // counts on its free pages' content gets no reporting.
  bool discards_to_zero = true;
  // The driver has written another `actual`. On a vCPU's thread.
  std::function<void()> on_change = nullptr;
};

// What the driver last said; a value it did not tell is all ones.
struct BalloonStatistics {
  std::array<uint64_t, kBalloonStatCount> values;
  std::optional<std::chrono::system_clock::time_point> updated;
};

class BalloonDevice : public VirtioDevice {
 public:
  // Page frame numbers of one request; what follows is ignored.
  static constexpr uint32_t kMaxPages = 4096;

  BalloonDevice(BalloonOptions options, EventLoop& loop);
  ~BalloonDevice() override { Reset(); }

  std::string_view name() const override { return "virtio-balloon"; }
  uint16_t device_type() const override { return kDeviceBalloon; }
  uint64_t device_features() const override;
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override { return sizeof(BalloonConfig); }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  absl::Status Activate(ActiveState state) override;
  void Reset() override;

  // How many pages the guest shall give up.
  void SetTarget(uint32_t pages);
  uint32_t target() const;
  // How many it says it has given up.
  uint32_t actual() const;
  // Bytes given back to the host since the start, by inflation and reports.
  uint64_t inflated_bytes() const { return inflated_.load(); }
  uint64_t reported_bytes() const { return reported_.load(); }
  // Zero: the driver is not asked. Statistics are as old as the interval.
  void SetStatsInterval(std::chrono::seconds interval);
  std::chrono::seconds stats_interval() const;
  BalloonStatistics statistics() const;
  // While a device holds guest pages at fixed host addresses nothing may be
  // given back: requests are then answered and have no effect.
  void Inhibit(bool on) { inhibited_ = on; }
  bool inhibited() const { return inhibited_.load(); }

 private:
  enum Role { kInflate, kDeflate, kStats, kHint, kReport, kRoles };
  static constexpr std::array<uint16_t, kRoles> kQueueSizes{128, 128, 64, 64,
                                                            64};
  struct Port {
    Role role;
    uint16_t index;
    VirtQueue queue;
    const EventFd* kick;
  };
  // The data path, on the loop between Activate and Reset.
  struct Active {
    const GuestMemory& memory;
    DeviceEvents& events;
    bool content_matters = false;  // PAGE_POISON was negotiated
    std::vector<Port> ports;
    std::optional<uint16_t> held_stats;  // head of the buffer to return
    std::optional<EventLoop::TimerId> timer;
  };
  static std::vector<Role> Roles(const ActiveState& state);
  absl::Status StartPort(Role role, ActiveQueue queue);
  void Service(Port& port);
  void Serve(Port& port, DescriptorChain& chain);
  void Inflate(Reader& reader);
  void GiveBack(Gpa at, uint64_t length);
  void Report(Writer& writer);
  void TakeStats(Port& port, DescriptorChain& chain);
  void AskForStats();
  void ArmStatsTimer();
  uint64_t Discard(const iovec& range);

  const BalloonOptions options_;
  EventLoop& loop_;
  LogLimiter log_{"virtio-balloon"};
  std::atomic<bool> inhibited_{false};
  std::atomic<uint64_t> inflated_{0};
  std::atomic<uint64_t> reported_{0};

  mutable std::mutex mutex_;          // a leaf
  BalloonConfig config_;              // guarded by mutex_
  std::chrono::seconds interval_{0};  // guarded by mutex_
  BalloonStatistics statistics_;      // guarded by mutex_
  DeviceEvents* events_ = nullptr;    // guarded by mutex_; set while active

  std::unique_ptr<Active> active_;
  std::vector<uint32_t> pages_;  // reused
  std::vector<iovec> ranges_;    // reused
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_BALLOON_H_
