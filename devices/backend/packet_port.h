// SPDX-License-Identifier: Apache-2.0
// A port over a descriptor that keeps packet boundaries: a tap queue, or a
// seqpacket or datagram socket. One system call moves one packet straight
// from or into guest buffers.
//
// Threads: as NetPort. Units: bytes. Errors: as NetPort.
#ifndef KVMLET_DEVICES_BACKEND_PACKET_PORT_H_
#define KVMLET_DEVICES_BACKEND_PACKET_PORT_H_

#include <optional>
#include <span>
#include <vector>

#include "devices/backend/net_backend.h"
#include "devices/backend/vhost.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class PacketPort : public NetPort {
 public:
  enum class Kind {
    kTap,     // with IFF_VNET_HDR and a header size of 12
    kRawTap,  // without headers
    kSocket,  // without headers
  };
  // `fd` is non-blocking.
  PacketPort(UniqueFd fd, Kind kind) : fd_(std::move(fd)), kind_(kind) {}

  int fd() const override { return fd_.get(); }
  NetIo Send(std::span<const iovec> packet) override;
  NetIo Receive(std::span<const iovec> buffers) override;
  VhostDevice* vhost() override { return vhost_ ? &*vhost_ : nullptr; }

  // Gives the port the kernel's data path, or takes it away.
  void SetVhost(std::optional<VhostDevice> vhost) { vhost_ = std::move(vhost); }

 private:
  ssize_t Transmit(std::span<const iovec> ranges);
  // `cut` is set when the packet was longer than the ranges.
  ssize_t Fetch(std::span<const iovec> ranges, bool& cut);

  UniqueFd fd_;
  Kind kind_;
  std::optional<VhostDevice> vhost_;
  std::vector<iovec> scratch_;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_PACKET_PORT_H_
