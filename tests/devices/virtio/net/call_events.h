// SPDX-License-Identifier: Apache-2.0
// DeviceEvents for tests of kernel data paths: gives out real eventfds and
// waits for them. `resets` belongs to the thread of the device's loop.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_NET_CALL_EVENTS_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_NET_CALL_EVENTS_H_

#include <poll.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "devices/virtio/device.h"
#include "vmm/base/event_fd.h"

namespace kvmlet::virtio {

class CallEvents : public DeviceEvents {
 public:
  explicit CallEvents(int queues) {
    for (int i = 0; i < queues; ++i) calls_.push_back(*EventFd::Create());
  }
  void NotifyQueue(uint16_t /*queue*/) override {}
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view /*reason*/) override { ++resets; }
  int QueueCallFd(uint16_t queue) override { return calls_.at(queue).get(); }
  // True when the kernel notified the queue within three seconds.
  bool WaitForCall(uint16_t queue) {
    pollfd p{.fd = calls_.at(queue).get(), .events = POLLIN, .revents = 0};
    return ::poll(&p, 1, 3000) == 1 && calls_.at(queue).Consume();
  }

  int resets = 0;

 private:
  std::vector<EventFd> calls_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_NET_CALL_EVENTS_H_
