// SPDX-License-Identifier: Apache-2.0
// The control queue of a network card: parses commands and has the device
// carry them out. The device delivers every frame, so receive filters are
// accepted and change nothing, which the specification allows.
//
// Threads: one I/O thread (or while the loop does not run). Errors: a command
// that is malformed, unknown or not negotiated is acknowledged with
// kNetAckError; a chain without room for that breaks the queue.
// Specification: Virtio 1.2, section 5.1.6.5.
#ifndef KVMLET_DEVICES_VIRTIO_NET_CONTROL_H_
#define KVMLET_DEVICES_VIRTIO_NET_CONTROL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "devices/backend/net_backend.h"
#include "devices/virtio/device.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

// What commands do; called on the control queue's thread. False: refused.
class NetControlTarget {
 public:
  virtual void SetMac(const MacAddress& mac) = 0;
  virtual bool SetQueuePairs(uint16_t pairs) = 0;
  // kNetGuest* bits.
  virtual bool SetGuestOffloads(uint64_t offloads) = 0;

 protected:
  ~NetControlTarget() = default;
};

class NetControl {
 public:
  // `queue` has a VirtQueue. `features` are the negotiated ones.
  NetControl(EventLoop& loop, DeviceEvents& events, ActiveQueue queue,
             uint64_t features, NetControlTarget& target);
  NetControl(const NetControl&) = delete;
  NetControl& operator=(const NetControl&) = delete;
  ~NetControl() { Stop(); }

  absl::Status Start();
  void Stop();

 private:
  void Run();
  // False when the driver must reset.
  bool Serve(DescriptorChain& chain);
  bool Execute(Reader& reader);
  bool ExecuteReceive(uint8_t command, Reader& reader) const;
  bool ExecuteMac(uint8_t command, Reader& reader);
  bool Has(uint64_t feature) const { return (features_ & feature) != 0; }

  EventLoop& loop_;
  DeviceEvents& events_;
  ActiveQueue queue_;
  uint64_t features_;
  NetControlTarget& target_;
  bool started_ = false;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_NET_CONTROL_H_
