// SPDX-License-Identifier: Apache-2.0
// One receive and one transmit queue on one I/O thread, joined to their port:
// turns kicks and readiness of the port into turns of the receiver and the
// transmitter, and never spins while neither side can move.
//
// Threads: Start, SetActive, Stop and the destructor on the loop's thread (or
// while the loop does not run). Errors: see NetReceiver.
#ifndef KVMLET_DEVICES_VIRTIO_NET_PAIR_H_
#define KVMLET_DEVICES_VIRTIO_NET_PAIR_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "devices/backend/net_backend.h"
#include "devices/virtio/device.h"
#include "devices/virtio/net_receiver.h"
#include "devices/virtio/net_transmitter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class NetPair {
 public:
  struct Options {
    bool mergeable = false;
    bool keep_large = false;
  };
  // `on_closed` is called once, on the loop's thread, when the port is gone.
  // Queues that the driver did not enable are left alone.
  NetPair(EventLoop& loop, NetPort& port, DeviceEvents& events,
          ActiveQueue receive, ActiveQueue transmit, Options options,
          std::function<void()> on_closed);
  NetPair(const NetPair&) = delete;
  NetPair& operator=(const NetPair&) = delete;
  ~NetPair() { Stop(); }

  EventLoop& loop() { return loop_; }
  // Serves kicks. The pair is inactive: packets from the guest are lost.
  absl::Status Start();
  // Connects the pair to its port, or disconnects it.
  absl::Status SetActive(bool active);
  void Stop();

 private:
  void OnPort(uint32_t epoll_events);
  void RunReceiver();
  void RunTransmitter();
  void Close();
  void WatchForRoom(bool wanted);

  EventLoop& loop_;
  NetPort& port_;
  const EventFd* receive_kick_;
  const EventFd* transmit_kick_;
  std::optional<NetReceiver> receiver_;
  std::optional<NetTransmitter> transmitter_;
  std::function<void()> on_closed_;
  bool started_ = false;
  bool active_ = false;
  bool closed_ = false;
  bool broken_ = false;
  bool waits_for_room_ = false;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_NET_PAIR_H_
