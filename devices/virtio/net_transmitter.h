// SPDX-License-Identifier: Apache-2.0
// Guest to host: takes packets from the transmit queue and hands the guest's
// own buffers to the port, without a copy. A packet that the port refuses is
// completed and lost, as on a real wire.
//
// Threads: one I/O thread. Errors: a driver that breaks a rule gets
// NEEDS_RESET and Run() says kBroken for ever.
// Specification: Virtio 1.2, section 5.1.6.2.
#ifndef KVMLET_DEVICES_VIRTIO_NET_TRANSMITTER_H_
#define KVMLET_DEVICES_VIRTIO_NET_TRANSMITTER_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "devices/backend/net_backend.h"
#include "devices/virtio/device.h"
#include "devices/virtio/net_receiver.h"
#include "devices/virtio/queue.h"

namespace kvmlet::virtio {

class NetTransmitter {
 public:
  NetTransmitter(VirtQueue queue, uint16_t index, NetPort& port,
                 DeviceEvents& events)
      : queue_(std::move(queue)), index_(index), port_(port), events_(events) {}

  // Sends until the ring is empty, the port is full, or a share is used up.
  NetTurn Run();
  // Without a connection packets are completed and lost.
  void SetConnected(bool connected) { connected_ = connected; }

 private:
  NetTurn SendOne();

  VirtQueue queue_;
  uint16_t index_;
  NetPort& port_;
  DeviceEvents& events_;
  bool connected_ = false;
  std::vector<iovec> packet_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_NET_TRANSMITTER_H_
