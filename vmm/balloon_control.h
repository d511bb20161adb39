// SPDX-License-Identifier: Apache-2.0
// The user's end of the balloon: from a size of the guest to pages to give up,
// the event that tells when the guest has followed, and the properties under
// which QEMU has the guest's statistics.
//
// Threads: the main loop's; the device's news may come from any thread and are
// told there, at most once a second. Sizes are bytes.
// QEMU's qapi/machine.json, "balloon" and "BALLOON_CHANGE".
#ifndef KVMLET_VMM_BALLOON_CONTROL_H_
#define KVMLET_VMM_BALLOON_CONTROL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "devices/virtio/balloon.h"
#include "vmm/config.h"
#include "vmm/control/events.h"
#include "vmm/control/qom.h"
#include "vmm/event/event_loop.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

class BalloonControl {
 public:
  // All outlive it, and the device does not outlive it.
  BalloonControl(EventLoop& loop, Events& events, const GuestMemory& memory)
      : loop_(loop), events_(events), memory_(memory) {}
  ~BalloonControl();
  BalloonControl(const BalloonControl&) = delete;
  BalloonControl& operator=(const BalloonControl&) = delete;

  // The device runs on `io`; the caller owns it and does so until the end.
  std::unique_ptr<virtio::BalloonDevice> CreateDevice(
      const BalloonConfig& config, EventLoop& io, QomObjects& objects);

  // What the guest shall keep; more than it has is all of it.
  absl::Status SetSize(uint64_t bytes);
  // What the guest says it keeps.
  uint64_t size() const;

 private:
  void OnChange();
  void Tell();
  Json Statistics() const;
  void AddProperties(const std::string& id, QomObjects& objects);
  absl::Status SetInterval(const Json& value);

  EventLoop& loop_;
  Events& events_;
  const GuestMemory& memory_;
  virtio::BalloonDevice* device_ = nullptr;
  std::atomic<bool> news_{false};  // on their way to the main loop
  std::optional<EventLoop::TimerId> pause_;
  uint64_t told_ = 0;  // the size of the last event
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BALLOON_CONTROL_H_
