// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/tap.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/backend/packet_port.h"
#include "devices/backend/vhost.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr char kTunNode[] = "/dev/net/tun";
constexpr char kVhostNode[] = "/dev/vhost-net";
constexpr uint32_t kOffloads =
    TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

class TapBackend : public NetBackend {
 public:
  TapBackend(std::string name, std::vector<std::unique_ptr<PacketPort>> ports,
             uint32_t offloads, uint16_t mtu)
      : name_(std::move(name)),
        ports_(std::move(ports)),
        attached_(ports_.size(), true),
        offloads_(offloads),
        mtu_(mtu) {}

  std::string_view name() const override { return name_; }
  uint16_t port_count() const override {
    return static_cast<uint16_t>(ports_.size());
  }
  NetPort& port(uint16_t index) override { return *ports_.at(index); }
  uint32_t offloads() const override { return offloads_; }
  uint16_t mtu() const override { return mtu_; }

  // Applies to the interface, so one queue is enough.
  absl::Status SetOffloads(uint32_t offloads) override {
    if (offloads_ == 0 && offloads == 0) return absl::OkStatus();
    if (::ioctl(ports_[0]->fd(), TUNSETOFFLOAD,
                static_cast<unsigned long>(offloads)) != 0) {
      return OsRefused(errno, absl::StrCat("TUNSETOFFLOAD on ", name_));
    }
    return absl::OkStatus();
  }

  absl::Status SetActivePorts(uint16_t count) override {
    if (ports_.size() == 1) return absl::OkStatus();
    for (size_t i = 0; i < ports_.size(); ++i) {
      const bool attach = i < count;
      if (attached_[i] == attach) continue;
      ifreq request{};
      request.ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
      if (::ioctl(ports_[i]->fd(), TUNSETQUEUE, &request) != 0) {
        return OsRefused(errno, absl::StrCat("TUNSETQUEUE on ", name_));
      }
      attached_[i] = attach;
    }
    return absl::OkStatus();
  }

 private:
  std::string name_;
  std::vector<std::unique_ptr<PacketPort>> ports_;
  std::vector<bool> attached_;
  uint32_t offloads_;
  uint16_t mtu_;
};

absl::Status OpenNodeError(const std::string& tap) {
  const int error = errno;
  const char* remedy = error == ENOENT
                           ? "load the driver (modprobe tun)"
                           : "give this user access to it, or use --net passt";
  return OsRefused(error, absl::StrCat("--net tap=", tap, ": ", remedy, ": ",
                                       "open ", kTunNode));
}

absl::Status AttachError(int error, const std::string& tap, bool exists,
                         uint16_t queues) {
  std::string why;
  if (error == EPERM && !exists) {
    why =
        "no such interface, and creating it needs CAP_NET_ADMIN; create it "
        "once as root (ip tuntap add dev NAME mode tap user USER)";
  } else if (error == EPERM) {
    why = "it belongs to another user, or needs CAP_NET_ADMIN";
  } else if (error == EBUSY) {
    why = "another process uses it";
  } else if (error == EINVAL && queues > 1) {
    why = "not a tap with several queues (ip tuntap add ... multi_queue)";
  } else if (error == EINVAL) {
    why = "not a tap interface";
  } else {
    why = "cannot attach";
  }
  return OsRefused(error, absl::StrCat("--net tap=", tap, ": ", why));
}

// One queue of the interface. `flags` gains IFF_MULTI_QUEUE when the interface
// was made with it, and `interface` becomes the name the kernel uses.
absl::StatusOr<UniqueFd> AttachQueue(std::string& interface, short& flags,
                                     bool exists, uint16_t queues) {
  UniqueFd fd(::open(kTunNode, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.ok()) return OpenNodeError(interface);
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = flags;
  int result = ::ioctl(fd.get(), TUNSETIFF, &request);
  if (result != 0 && errno == EINVAL && (flags & IFF_MULTI_QUEUE) == 0) {
    flags = static_cast<short>(flags | IFF_MULTI_QUEUE);
    request.ifr_flags = flags;
    result = ::ioctl(fd.get(), TUNSETIFF, &request);
  }
  if (result != 0) return AttachError(errno, interface, exists, queues);
  interface = request.ifr_name;
  return fd;
}

// 12-byte headers, and what the kernel can offload.
absl::StatusOr<uint32_t> PrepareHeaders(int fd, const std::string& name) {
  const int header = kNetHeaderSize;
  if (::ioctl(fd, TUNSETVNETHDRSZ, &header) != 0) {
    return OsRefused(errno, absl::StrCat("--net ", name, ": TUNSETVNETHDRSZ"));
  }
  const bool can_offload =
      ::ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(kOffloads)) == 0;
  ::ioctl(fd, TUNSETOFFLOAD, 0ul);
  return can_offload ? kOffloads : 0;
}

// The interface's MTU when it is not Ethernet's usual one.
uint16_t UnusualMtu(const std::string& interface) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (!socket.ok() || ::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) {
    return 0;
  }
  const int mtu = request.ifr_mtu;
  if (mtu == 1500 || mtu < 1280 || mtu > 65535) return 0;
  return static_cast<uint16_t>(mtu);
}

// Nobody else could have brought an interface up that exists only now.
void BringUp(const std::string& interface) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (!socket.ok() || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) {
    return;
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
    PLOG(WARNING) << "--net tap=" << interface << ": cannot bring it up";
  }
}

// Gives every port its vhost-net, or none.
absl::Status AttachVhost(std::vector<std::unique_ptr<PacketPort>>& ports,
                         const std::string& name, std::optional<bool> wanted) {
  if (wanted == false) return absl::OkStatus();
  absl::Status status;
  for (const std::unique_ptr<PacketPort>& port : ports) {
    absl::StatusOr<VhostDevice> vhost = VhostDevice::Open(kVhostNode);
    status = vhost.status();
    if (status.ok() && (vhost->features() & kVhostNeeds) != kVhostNeeds) {
      status = absl::UnimplementedError("vhost-net of this kernel is too old");
    }
    if (!status.ok()) break;
    port->SetVhost(*std::move(vhost));
  }
  if (status.ok()) return status;
  for (const std::unique_ptr<PacketPort>& port : ports) port->SetVhost({});
  if (!wanted) return absl::OkStatus();
  return absl::Status(
      status.code(),
      absl::StrCat("--net ", name, ",vhost: ", status.message(),
                   "; load the driver (modprobe vhost_net) or leave vhost "
                   "out"));
}

absl::StatusOr<std::unique_ptr<NetBackend>> Finish(
    std::vector<std::unique_ptr<PacketPort>> ports, std::string name,
    const std::string& interface, uint32_t offloads,
    std::optional<bool> vhost) {
  KVMLET_RETURN_IF_ERROR(AttachVhost(ports, name, vhost));
  return std::make_unique<TapBackend>(std::move(name), std::move(ports),
                                      offloads, UnusualMtu(interface));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetBackend>> OpenTap(const NetOptions& options) {
  std::string interface = options.tap;
  if (interface.empty() || interface.size() >= IFNAMSIZ ||
      interface.find_first_of("/%: ") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net tap=", interface,
                     ": an interface name has 1 to 15 characters and none of "
                     "'/', '%', ':', ' '"));
  }
  const bool exists = ::if_nametoindex(interface.c_str()) != 0;
  const std::string name = absl::StrCat("tap=", interface);
  short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (options.queue_pairs > 1) {
    flags = static_cast<short>(flags | IFF_MULTI_QUEUE);
  }
  uint32_t offloads = 0;
  std::vector<std::unique_ptr<PacketPort>> ports;
  for (uint16_t i = 0; i < options.queue_pairs; ++i) {
    KVMLET_ASSIGN_OR_RETURN(UniqueFd fd, AttachQueue(interface, flags, exists,
                                                     options.queue_pairs));
    KVMLET_ASSIGN_OR_RETURN(offloads, PrepareHeaders(fd.get(), name));
    ports.push_back(
        std::make_unique<PacketPort>(std::move(fd), PacketPort::Kind::kTap));
  }
  if (!exists) BringUp(interface);
  return Finish(std::move(ports), name, interface, offloads, options.vhost);
}

bool IsTap(int fd) {
  ifreq request{};
  return ::ioctl(fd, TUNGETIFF, &request) == 0;
}

absl::StatusOr<std::unique_ptr<NetBackend>> OpenTapFd(
    UniqueFd fd, const NetOptions& options) {
  const std::string name = absl::StrCat("fd=", options.fd);
  ifreq request{};
  if (::ioctl(fd.get(), TUNGETIFF, &request) != 0) {
    return OsRefused(errno, absl::StrCat("--net ", name, ": TUNGETIFF"));
  }
  const int flags = request.ifr_flags;
  if ((flags & IFF_TAP) == 0 || (flags & IFF_NO_PI) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net ", name,
                     ": open it with IFF_TAP and IFF_NO_PI (and IFF_VNET_HDR "
                     "for speed)"));
  }
  const bool headers = (flags & IFF_VNET_HDR) != 0;
  uint32_t offloads = 0;
  if (headers) {
    KVMLET_ASSIGN_OR_RETURN(offloads, PrepareHeaders(fd.get(), name));
  } else if (options.vhost == true) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net ", name, ",vhost: open it with IFF_VNET_HDR"));
  }
  std::vector<std::unique_ptr<PacketPort>> ports;
  ports.push_back(std::make_unique<PacketPort>(
      std::move(fd),
      headers ? PacketPort::Kind::kTap : PacketPort::Kind::kRawTap));
  return Finish(std::move(ports), name, request.ifr_name, offloads,
                headers ? options.vhost : std::optional<bool>(false));
}

}  // namespace kvmlet
