// SPDX-License-Identifier: Apache-2.0
// The host's side of a network card: one port per queue pair moves whole
// packets between guest buffers and a tap, a socket or a passt process. Every
// packet starts with the 12-byte virtio-net header (Virtio 1.2, 5.1.6); a port
// without such headers skips it on Send and zeroes it on Receive.
//
// Threads: a port belongs to one I/O thread; the backend's other members to
// the thread that controls the device. Units: bytes. Errors: a packet that
// cannot be moved is kDropped, a host end that is gone is kClosed.
#ifndef KVMLET_DEVICES_BACKEND_NET_BACKEND_H_
#define KVMLET_DEVICES_BACKEND_NET_BACKEND_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvmlet {

class VhostDevice;

// sizeof(virtio_net_hdr_v1).
inline constexpr size_t kNetHeaderSize = 12;
// Ethernet header, one VLAN tag, the largest IP packet.
inline constexpr size_t kMaxNetFrame = 14 + 4 + 65535;
inline constexpr size_t kMaxNetPacket = kNetHeaderSize + kMaxNetFrame;

using MacAddress = std::array<uint8_t, 6>;

// What --net asked for.
struct NetOptions {
  enum class Kind { kTap, kPasst, kFd };
  Kind kind = Kind::kTap;
  std::string tap;  // interface name
  int fd = -1;      // taken over by OpenNetBackend
  std::string id;   // "net0" when empty; for logs
  std::optional<MacAddress> mac;
  uint16_t queue_pairs = 1;
  std::optional<bool> vhost;  // unset: when the host has it
};

enum class NetResult {
  kDone,
  kAgain,    // nothing to receive, or no room to send: wait for the fd
  kDropped,  // this packet is lost, the next one may pass
  kClosed,   // the host end is gone for good
};

struct NetIo {
  NetResult result = NetResult::kDone;
  size_t bytes = 0;  // kDone of Receive: header and frame
};

class NetPort {
 public:
  virtual ~NetPort() = default;
  // What an event loop watches; non-blocking.
  virtual int fd() const = 0;
  virtual NetIo Send(std::span<const iovec> packet) = 0;
  // One packet. The buffers must hold kMaxNetPacket bytes, or the port may cut
  // or drop it.
  virtual NetIo Receive(std::span<const iovec> buffers) = 0;
  // Writes what an earlier Send kept back; kDone when nothing is left.
  virtual NetResult Flush() { return NetResult::kDone; }
  // The kernel's own data path for this port, when there is one.
  virtual VhostDevice* vhost() { return nullptr; }
};

class NetBackend {
 public:
  virtual ~NetBackend() = default;
  virtual std::string_view name() const = 0;  // "tap tap0", for logs
  virtual uint16_t port_count() const = 0;
  virtual NetPort& port(uint16_t index) = 0;
  // TUN_F_* bits of linux/if_tun.h that the host end can do, both ways.
  virtual uint32_t offloads() const { return 0; }
  // Which of them packets to the guest may use.
  virtual absl::Status SetOffloads(uint32_t offloads) {
    return offloads == 0 ? absl::OkStatus()
                         : absl::UnimplementedError("no offloads here");
  }
  // The first `count` ports carry traffic, the others are silent.
  virtual absl::Status SetActivePorts(uint16_t /*count*/) {
    return absl::OkStatus();
  }
  // 0: unknown, the guest keeps its default.
  virtual uint16_t mtu() const { return 0; }
};

// Opens what the options name. An error is one line that starts with "--net".
absl::StatusOr<std::unique_ptr<NetBackend>> OpenNetBackend(
    const NetOptions& options);

// A backend with one port and nothing else.
std::unique_ptr<NetBackend> MakeSinglePortBackend(
    std::string name, std::unique_ptr<NetPort> port);

// Lists of host ranges. CopyToIovecs copies as much as fits behind `offset`
// and returns how much that was; SkipIovecs appends what lies behind `offset`.
size_t TotalBytes(std::span<const iovec> ranges);
size_t CopyToIovecs(std::span<const iovec> ranges, size_t offset,
                    std::span<const std::byte> data);
void SkipIovecs(std::span<const iovec> ranges, size_t offset,
                std::vector<iovec>& out);

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_NET_BACKEND_H_
