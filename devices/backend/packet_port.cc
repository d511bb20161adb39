// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/packet_port.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace kvmlet {
namespace {

// Sorts errno: what says that the host end is gone, what says "later", and the
// rest, which concerns this packet only (a header the kernel refuses, an
// interface that is down, a guest page that is not there).
NetResult Classify(int error) {
  switch (error) {
    case EAGAIN:
      return NetResult::kAgain;
    case EBADF:
    case EBADFD:
    case ENODEV:
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
    case ESHUTDOWN:
      return NetResult::kClosed;
    default:
      return NetResult::kDropped;
  }
}

}  // namespace

ssize_t PacketPort::Transmit(std::span<const iovec> ranges) {
  ssize_t n = 0;
  do {
    if (kind_ == Kind::kSocket) {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(ranges.data());
      message.msg_iovlen = ranges.size();
      n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      n = ::writev(fd_.get(), ranges.data(), static_cast<int>(ranges.size()));
    }
  } while (n < 0 && errno == EINTR);
  return n;
}

ssize_t PacketPort::Fetch(std::span<const iovec> ranges, bool& cut) {
  ssize_t n = 0;
  cut = false;
  do {
    if (kind_ == Kind::kSocket) {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(ranges.data());
      message.msg_iovlen = ranges.size();
      n = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
      cut = n >= 0 && (message.msg_flags & MSG_TRUNC) != 0;
    } else {
      n = ::readv(fd_.get(), ranges.data(), static_cast<int>(ranges.size()));
    }
  } while (n < 0 && errno == EINTR);
  return n;
}

NetIo PacketPort::Send(std::span<const iovec> packet) {
  if (kind_ != Kind::kTap) {
    scratch_.clear();
    SkipIovecs(packet, kNetHeaderSize, scratch_);
    if (scratch_.empty()) return {NetResult::kDropped};
    packet = scratch_;
  }
  const ssize_t n = Transmit(packet);
  if (n < 0) return {Classify(errno)};
  return {NetResult::kDone, static_cast<size_t>(n)};
}

NetIo PacketPort::Receive(std::span<const iovec> buffers) {
  const size_t header = kind_ == Kind::kTap ? 0 : kNetHeaderSize;
  std::span<const iovec> ranges = buffers;
  if (header != 0) {
    scratch_.clear();
    SkipIovecs(buffers, header, scratch_);
    ranges = scratch_;
  }
  bool cut = false;
  const ssize_t n = Fetch(ranges, cut);
  if (n < 0) {
    // An unregistered interface says EIO; for a reader that is the end.
    return {errno == EIO ? NetResult::kClosed : Classify(errno)};
  }
  if (n == 0) {
    // Only a connected socket says "end of file" in this way; an empty
    // datagram looks the same and carries no frame.
    return {kind_ == Kind::kSocket ? NetResult::kClosed : NetResult::kDropped};
  }
  if (cut) return {NetResult::kDropped};
  if (header == 0 && static_cast<size_t>(n) < kNetHeaderSize) {
    return {NetResult::kDropped};
  }
  if (header != 0) {
    CopyToIovecs(buffers, 0, std::array<std::byte, kNetHeaderSize>{});
  }
  return {NetResult::kDone, header + static_cast<size_t>(n)};
}

}  // namespace kvmlet
