// SPDX-License-Identifier: Apache-2.0
// Host to guest: fills the receive queue from a port. Guest buffers are taken
// from the queue ahead of time and the port reads straight into them; only a
// guest that is short of buffers costs a copy.
//
// Threads: one I/O thread. Units: bytes. Errors: a driver that breaks a rule
// gets NEEDS_RESET and Run() says kBroken for ever.
// Specification: Virtio 1.2, section 5.1.6.3 and 5.1.6.4.
#ifndef KVMLET_DEVICES_VIRTIO_NET_RECEIVER_H_
#define KVMLET_DEVICES_VIRTIO_NET_RECEIVER_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/backend/net_backend.h"
#include "devices/virtio/device.h"
#include "devices/virtio/queue.h"

namespace kvmlet::virtio {

// What one turn of a receiver or transmitter ended with.
enum class NetTurn {
  kIdle,     // waits for a kick or for the port
  kMore,     // used its share of the thread up: run it again
  kBlocked,  // transmitter: waits until the port takes more
  kClosed,   // the port is gone
  kBroken,   // the driver must reset
};

class NetReceiver {
 public:
  // `mergeable`: a packet may span several chains (kNetMergeable).
  // `keep_large`: a packet that needs more buffers than there are waits for
  // them instead of being dropped; for drivers that asked for large packets.
  NetReceiver(VirtQueue queue, uint16_t index, NetPort& port,
              DeviceEvents& events, bool mergeable, bool keep_large)
      : queue_(std::move(queue)),
        index_(index),
        port_(port),
        events_(events),
        mergeable_(mergeable),
        keep_large_(keep_large) {}

  // Moves packets until the port is empty, the guest has no buffers, or a
  // share is used up.
  NetTurn Run();

 private:
  // A chain taken from the queue and not yet used.
  struct Buffer {
    uint16_t head;
    size_t parts;  // of iovecs_
    size_t bytes;
  };
  enum class Step { kMoved, kPortEmpty, kNoBuffers, kClosed, kBroken };

  Step ReceiveOne();
  // Takes chains until the largest packet fits. True when more could come:
  // the ring ran dry before that.
  bool Gather();
  bool Take(DescriptorChain& chain);
  // Bytes that one packet can have.
  size_t Room() const;
  std::span<const iovec> Target() const;
  // Gives `bytes` bytes that lie in the first buffers to the driver.
  void Deliver(size_t bytes);

  VirtQueue queue_;
  uint16_t index_;
  NetPort& port_;
  DeviceEvents& events_;
  bool mergeable_;
  bool keep_large_;
  std::vector<Buffer> buffers_;
  std::vector<iovec> iovecs_;  // of all buffers_, in order
  size_t bytes_ = 0;           // of all buffers_
  std::vector<std::byte> bounce_;
  size_t held_ = 0;  // bytes of the packet in bounce_
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_NET_RECEIVER_H_
