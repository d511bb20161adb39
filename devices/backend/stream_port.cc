// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/stream_port.h"

#include <arpa/inet.h>
#include <glog/logging.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>

#include "vmm/memory/bus_errors.h"

namespace kvmlet {
namespace {

constexpr size_t kPrefixSize = 4;
constexpr size_t kMinFrame = 14;  // an Ethernet header
constexpr size_t kMaxFrame = 65535;
// Two of the largest frames, or some eighty of the usual size.
constexpr size_t kInputSize = 2 * (kPrefixSize + kMaxFrame);

}  // namespace

StreamPort::StreamPort(UniqueFd fd, std::string name)
    : fd_(std::move(fd)), name_(std::move(name)), input_(kInputSize) {}

NetResult StreamPort::Close() {
  if (!closed_) ::shutdown(fd_.get(), SHUT_RDWR);
  closed_ = true;
  return NetResult::kClosed;
}

NetResult StreamPort::Flush() {
  if (closed_) return NetResult::kClosed;
  while (output_sent_ < output_.size()) {
    const ssize_t n =
        ::send(fd_.get(), output_.data() + output_sent_,
               output_.size() - output_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return NetResult::kAgain;
    if (n < 0) return Close();
    output_sent_ += static_cast<size_t>(n);
  }
  output_.clear();
  output_sent_ = 0;
  return NetResult::kDone;
}

NetIo StreamPort::Send(std::span<const iovec> packet) {
  if (const NetResult r = Flush(); r != NetResult::kDone) return {r};
  scratch_.assign(1, iovec{});
  SkipIovecs(packet, kNetHeaderSize, scratch_);
  const size_t frame = TotalBytes(scratch_);
  if (frame < kMinFrame || frame > kMaxFrame) return {NetResult::kDropped};
  uint32_t prefix = htonl(static_cast<uint32_t>(frame));
  scratch_[0] = {&prefix, sizeof(prefix)};
  msghdr message{};
  message.msg_iov = scratch_.data();
  message.msg_iovlen = scratch_.size();
  ssize_t n = 0;
  do {
    n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (errno == EAGAIN) return {NetResult::kAgain};
    // Of the guest's making: too many pieces, or a page that is not there.
    if (errno == EMSGSIZE || errno == EFAULT) return {NetResult::kDropped};
    return {Close()};
  }
  // The socket took the frame in part: keep a copy of the rest, so that the
  // guest gets its buffer back now.
  size_t skip = static_cast<size_t>(n);
  for (const iovec& range : scratch_) {
    if (skip >= range.iov_len) {
      skip -= range.iov_len;
      continue;
    }
    const auto* bytes = static_cast<const std::byte*>(range.iov_base);
    const size_t at = output_.size();
    const size_t rest = range.iov_len - skip;
    output_.resize(at + rest);
    // Zeroes where the host has lost a page: the frames after it stay whole.
    std::ignore =
        Guarded([&] { std::memcpy(output_.data() + at, bytes + skip, rest); });
    skip = 0;
  }
  return {NetResult::kDone, frame};
}

NetResult StreamPort::Fill() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (begin_ > 0 && input_.size() - begin_ < kPrefixSize + kMaxFrame) {
    std::memmove(input_.data(), input_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  ssize_t n = 0;
  do {
    n = ::recv(fd_.get(), input_.data() + end_, input_.size() - end_,
               MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return NetResult::kAgain;
  if (n <= 0) return Close();
  end_ += static_cast<size_t>(n);
  return NetResult::kDone;
}

NetIo StreamPort::Receive(std::span<const iovec> buffers) {
  while (!closed_) {
    uint32_t prefix = 0;
    if (end_ - begin_ >= kPrefixSize) {
      std::memcpy(&prefix, input_.data() + begin_, kPrefixSize);
      const size_t frame = ntohl(prefix);
      if (frame > kMaxFrame) {
        LOG(WARNING) << name_ << " announced a frame of " << frame
                     << " bytes; the connection is closed";
        return {Close()};
      }
      if (end_ - begin_ - kPrefixSize >= frame) {
        const std::span<const std::byte> data(
            input_.data() + begin_ + kPrefixSize, frame);
        begin_ += kPrefixSize + frame;
        if (frame < kMinFrame) return {NetResult::kDropped};
        CopyToIovecs(buffers, 0, std::array<std::byte, kNetHeaderSize>{});
        if (CopyToIovecs(buffers, kNetHeaderSize, data) != frame) {
          return {NetResult::kDropped};
        }
        return {NetResult::kDone, kNetHeaderSize + frame};
      }
    }
    if (const NetResult r = Fill(); r != NetResult::kDone) return {r};
  }
  return {NetResult::kClosed};
}

}  // namespace kvmlet
