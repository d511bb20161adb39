// SPDX-License-Identifier: Apache-2.0
// The virtio memory device: a region of guest memory whose blocks the driver
// plugs and unplugs to follow what the host requests. MemBlocks has the rules,
// MemFaults what a tester wants to see; this is the queue, the configuration
// space and the nudges: a driver whose request the host could not serve is
// told to try again, sooner than it would by itself.
//
// Threads: as device.h says; requests are served on the loop, on which the
// listeners of the DeviceMemory hear of them. Resize, SetFault, ClearFaults
// and status from any thread; SystemReset on the main thread.
// Specification: Virtio 1.3, section 5.15.
#ifndef KVMLET_DEVICES_VIRTIO_MEM_H_
#define KVMLET_DEVICES_VIRTIO_MEM_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "devices/virtio/device.h"
#include "devices/virtio/mem_blocks.h"
#include "devices/virtio/mem_faults.h"
#include "devices/virtio/spec.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class MemDevice final : public VirtioDevice {
 public:
  using Clock = std::chrono::steady_clock;
  // What people ask about it.
  struct Status {
    MemConfig config{};
    bool driver = false;  // one is at work
    // Answers by type of request and response.
    std::array<std::array<uint64_t, kMemResponseTypes>, kMemRequestTypes>
        answers{};
    std::optional<Clock::time_point> last_request;
    std::optional<Clock::time_point> last_resize;  // by the host
    MemResponseType last_response = MemResponseType::kAck;
    std::string busy;  // why the last answer was BUSY; empty when it was not
    // Found and freed so far: memory that something touched while unplugged.
    uint64_t touched_unplugged = 0;
    std::vector<MemFault> faults;
  };

  // `memory` and `loop` outlive it. `on_change` is called on the loop when
  // the plugged size has changed.
  MemDevice(DeviceMemory& memory, const MemBlocks::Options& options,
            EventLoop& loop, std::function<void()> on_change);
  ~MemDevice() override;

  // The driver is told even when nothing changes: it then tries again.
  absl::Status Resize(uint64_t requested);
  void SetFault(MemFault fault) { faults_.Add(fault); }
  void ClearFaults();
  // After the transport's reset, while no vCPU runs.
  void SystemReset();
  Status status() const;

  std::string_view name() const override { return "virtio-mem"; }
  uint16_t device_type() const override { return kDeviceMem; }
  uint64_t device_features() const override;
  // Without it the guest might read unplugged memory, and crash on it.
  uint64_t required_features() const override {
    return kMemUnpluggedInaccessible;
  }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  void Attach(DeviceEvents& events) override { events_ = &events; }
  uint32_t config_size() const override { return sizeof(MemConfig); }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t, std::span<const std::byte>) override {}
  absl::Status Activate(ActiveState state) override;
  void Reset() override;

 private:
  static constexpr std::array<uint16_t, 1> kQueueSizes{128};

  // The data path, on the loop between Activate and Reset.
  struct Active {
    VirtQueue queue;
    const EventFd& kick;
    // An answer that a fault holds back; nothing else is served meanwhile.
    std::optional<EventLoop::TimerId> delay;
  };
  void Service();
  void Serve(DescriptorChain chain);
  void Complete(DescriptorChain& chain, const MemRequest& request,
                const MemBlocks::Answer& answer);
  void Finish();
  void Record(const MemRequest& request, const MemBlocks::Answer& answer);
  void ScheduleNudge();
  // Unless one comes sooner.
  void ScheduleAudit(Clock::duration delay);
  void NotifyConfig();

  DeviceMemory& memory_;
  EventLoop& loop_;
  const std::function<void()> on_change_;
  const bool has_node_;
  LogLimiter log_{"virtio-mem"};
  DeviceEvents* events_ = nullptr;  // set once, before the guest runs
  MemBlocks blocks_;
  MemFaults faults_;
  std::unique_ptr<Active> active_;
  std::atomic<bool> driver_{false};
  std::optional<EventLoop::TimerId> nudge_;  // on the loop
  const Clock::duration audit_period_;
  Clock::duration nudge_delay_{};            // on the loop
  Clock::duration audit_delay_{};            // on the loop
  std::optional<EventLoop::TimerId> audit_;  // on the loop

  mutable std::mutex mutex_;
  Status status_;  // what Record keeps; guarded by mutex_
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_MEM_H_
