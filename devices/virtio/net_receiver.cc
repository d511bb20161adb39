// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_receiver.h"

#include <limits.h>

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "devices/virtio/net_spec.h"

namespace kvmlet::virtio {
namespace {

// Packets a turn: enough to spread the cost of a notification, few enough for
// the other queues of the thread.
constexpr int kShare = 64;

static_assert(sizeof(NetHeader) == kNetHeaderSize);

}  // namespace

NetTurn NetReceiver::Run() {
  queue_.DisableKicks();
  NetTurn turn = NetTurn::kMore;
  for (int i = 0; i < kShare && turn == NetTurn::kMore; ++i) {
    switch (ReceiveOne()) {
      case Step::kMoved:
        break;
      case Step::kPortEmpty:
        // The buffers in hand last until the port wakes us: no kicks.
        turn = NetTurn::kIdle;
        break;
      case Step::kNoBuffers:
        queue_.EnableKicks();
        if (queue_.HasAvailable()) {
          queue_.DisableKicks();
        } else if (!queue_.broken()) {
          turn = NetTurn::kIdle;
        }
        break;
      case Step::kClosed:
        turn = NetTurn::kClosed;
        break;
      case Step::kBroken:
        turn = NetTurn::kBroken;
        break;
    }
  }
  if (turn == NetTurn::kBroken) {
    events_.SetNeedsReset(queue_.error());
  } else if (queue_.ShouldNotify()) {
    events_.NotifyQueue(index_);
  }
  return turn;
}

NetReceiver::Step NetReceiver::ReceiveOne() {
  const bool can_grow = Gather();
  if (queue_.broken()) return Step::kBroken;
  if (held_ == 0) {
    if (buffers_.empty()) return Step::kNoBuffers;
    // Without room for the largest packet the kernel would cut it: read it
    // into our own memory then.
    const bool direct = Room() >= kMaxNetPacket;
    if (!direct) bounce_.resize(kMaxNetPacket);
    const iovec bounce{bounce_.data(), bounce_.size()};
    const NetIo io = port_.Receive(direct ? Target() : std::span(&bounce, 1));
    if (io.result == NetResult::kAgain) return Step::kPortEmpty;
    if (io.result == NetResult::kClosed) return Step::kClosed;
    if (io.result == NetResult::kDropped) return Step::kMoved;
    if (direct) {
      Deliver(io.bytes);
      return Step::kMoved;
    }
    held_ = io.bytes;
  }
  if (held_ > Room()) {
    if (keep_large_ && mergeable_ && can_grow) return Step::kNoBuffers;
    held_ = 0;
    return Step::kMoved;
  }
  CopyToIovecs(iovecs_, 0, std::span(bounce_).first(held_));
  Deliver(held_);
  held_ = 0;
  return Step::kMoved;
}

bool NetReceiver::Gather() {
  const size_t enough = mergeable_ ? kMaxNetPacket : 1;
  while (bytes_ < enough && buffers_.size() < queue_.size()) {
    std::optional<DescriptorChain> chain = queue_.Pop();
    if (!chain) return true;
    if (!Take(*chain)) return false;
  }
  return false;
}

// False when the chain cannot join the others.
bool NetReceiver::Take(DescriptorChain& chain) {
  const uint32_t bytes = chain.writer().remaining();
  if (bytes < kNetHeaderSize) {
    queue_.Break("receive buffer is smaller than the packet header");
    return false;
  }
  const size_t before = iovecs_.size();
  chain.writer().TakeIovecs(bytes, iovecs_);
  if (iovecs_.size() > IOV_MAX) {
    iovecs_.resize(before);
    if (buffers_.empty()) {
      queue_.Break("receive buffer has too many parts");
    } else {
      queue_.Unpop();
    }
    return false;
  }
  buffers_.push_back({chain.head(), iovecs_.size() - before, bytes});
  bytes_ += bytes;
  return true;
}

size_t NetReceiver::Room() const {
  if (mergeable_) return bytes_;
  return buffers_.empty() ? 0 : buffers_.front().bytes;
}

std::span<const iovec> NetReceiver::Target() const {
  if (mergeable_) return iovecs_;
  return std::span(iovecs_).first(buffers_.front().parts);
}

void NetReceiver::Deliver(size_t bytes) {
  size_t left = bytes;
  size_t used = 0;
  size_t parts = 0;
  while (left > 0 && used < buffers_.size()) {
    left -= std::min(left, buffers_[used].bytes);
    parts += buffers_[used].parts;
    ++used;
  }
  // The header's last field; the host leaves it to us. Section 5.1.6.4: it is
  // 1 when buffers are not merged.
  const auto count = static_cast<uint16_t>(used);
  CopyToIovecs(iovecs_, offsetof(NetHeader, buffer_count),
               std::as_bytes(std::span(&count, 1)));
  left = bytes;
  for (size_t i = 0; i < used; ++i) {
    const size_t written = std::min(left, buffers_[i].bytes);
    queue_.Stage(buffers_[i].head, static_cast<uint32_t>(written));
    left -= written;
    bytes_ -= buffers_[i].bytes;
  }
  // All at once: a driver must never see half a packet.
  queue_.Publish();
  buffers_.erase(buffers_.begin(), std::next(buffers_.begin(), count));
  iovecs_.erase(iovecs_.begin(),
                std::next(iovecs_.begin(), static_cast<ptrdiff_t>(parts)));
}

}  // namespace kvmlet::virtio
