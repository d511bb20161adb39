// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/net_backend.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/backend/packet_port.h"
#include "devices/backend/passt.h"
#include "devices/backend/stream_port.h"
#include "devices/backend/tap.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"
#include "vmm/memory/bus_errors.h"

namespace kvmlet {
namespace {

class SinglePortBackend : public NetBackend {
 public:
  SinglePortBackend(std::string name, std::unique_ptr<NetPort> port)
      : name_(std::move(name)), port_(std::move(port)) {}
  std::string_view name() const override { return name_; }
  uint16_t port_count() const override { return 1; }
  NetPort& port(uint16_t /*index*/) override { return *port_; }

 private:
  std::string name_;
  std::unique_ptr<NetPort> port_;
};

absl::StatusOr<std::unique_ptr<NetBackend>> OpenSocket(UniqueFd fd,
                                                       const std::string& name,
                                                       int type) {
  switch (type) {
    case SOCK_STREAM:
      return MakeSinglePortBackend(
          name, std::make_unique<StreamPort>(std::move(fd), name));
    case SOCK_SEQPACKET:
    case SOCK_DGRAM:
      return MakeSinglePortBackend(
          name, std::make_unique<PacketPort>(std::move(fd),
                                             PacketPort::Kind::kSocket));
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("--net ", name, ": a socket of this type is no network",
                       "; pass a stream, seqpacket or datagram socket"));
  }
}

absl::StatusOr<std::unique_ptr<NetBackend>> OpenFd(const NetOptions& options) {
  const std::string name = absl::StrCat("fd=", options.fd);
  const int flags = ::fcntl(options.fd, F_GETFL);
  if (flags < 0) {
    return OsRefused(errno, absl::StrCat("--net ", name,
                                         ": not a file descriptor that the "
                                         "parent passed on"));
  }
  if (options.fd <= STDERR_FILENO) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net ", name, ": use a number above 2"));
  }
  UniqueFd fd(options.fd);
  if (::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return OsRefused(errno, absl::StrCat("--net ", name));
  }
  if (IsTap(fd.get())) return OpenTapFd(std::move(fd), options);
  if (options.vhost == true) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net ", name, ",vhost: only a tap can use vhost-net"));
  }
  int type = 0;
  socklen_t size = sizeof(type);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net ", name, ": neither a tap nor a socket"));
  }
  return OpenSocket(std::move(fd), name, type);
}

}  // namespace

std::unique_ptr<NetBackend> MakeSinglePortBackend(
    std::string name, std::unique_ptr<NetPort> port) {
  return std::make_unique<SinglePortBackend>(std::move(name), std::move(port));
}

absl::StatusOr<std::unique_ptr<NetBackend>> OpenNetBackend(
    const NetOptions& options) {
  if (options.queue_pairs == 0 || options.queue_pairs > kMaxTapQueues) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net queues=", options.queue_pairs, ": must be 1 to ",
                     kMaxTapQueues));
  }
  if (options.kind == NetOptions::Kind::kTap) return OpenTap(options);
  if (options.queue_pairs != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--net queues=", options.queue_pairs,
                     ": only tap=NAME has more than one queue pair"));
  }
  if (options.kind == NetOptions::Kind::kFd) return OpenFd(options);
  if (options.vhost == true) {
    return absl::InvalidArgumentError(
        "--net passt,vhost: only a tap can use vhost-net");
  }
  return OpenPasst();
}

size_t TotalBytes(std::span<const iovec> ranges) {
  size_t total = 0;
  for (const iovec& range : ranges) total += range.iov_len;
  return total;
}

size_t CopyToIovecs(std::span<const iovec> ranges, size_t offset,
                    std::span<const std::byte> data) {
  size_t copied = 0;
  for (const iovec& range : ranges) {
    if (copied == data.size()) break;
    if (offset >= range.iov_len) {
      offset -= range.iov_len;
      continue;
    }
    const size_t part = std::min(range.iov_len - offset, data.size() - copied);
    std::byte* const to = static_cast<std::byte*>(range.iov_base) + offset;
    const auto copy = [&] { std::memcpy(to, data.data() + copied, part); };
    if (!Guarded(copy)) break;  // of the guest's, and the host has lost it
    copied += part;
    offset = 0;
  }
  return copied;
}

void SkipIovecs(std::span<const iovec> ranges, size_t offset,
                std::vector<iovec>& out) {
  for (const iovec& range : ranges) {
    if (offset >= range.iov_len) {
      offset -= range.iov_len;
      continue;
    }
    out.push_back({static_cast<std::byte*>(range.iov_base) + offset,
                   range.iov_len - offset});
    offset = 0;
  }
}

}  // namespace kvmlet
