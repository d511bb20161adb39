// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_transmitter.h"

#include <limits.h>

namespace kvmlet::virtio {
namespace {

constexpr int kShare = 64;

}  // namespace

NetTurn NetTransmitter::Run() {
  queue_.DisableKicks();
  NetTurn turn = NetTurn::kMore;
  for (int i = 0; i < kShare && turn == NetTurn::kMore; ++i) {
    turn = SendOne();
    if (turn != NetTurn::kIdle) continue;
    queue_.EnableKicks();
    if (queue_.broken()) {
      turn = NetTurn::kBroken;
    } else if (queue_.HasAvailable()) {
      queue_.DisableKicks();
      turn = NetTurn::kMore;
    }
  }
  if (turn == NetTurn::kIdle && connected_ &&
      port_.Flush() == NetResult::kAgain) {
    turn = NetTurn::kBlocked;
  }
  if (turn == NetTurn::kBroken) {
    events_.SetNeedsReset(queue_.error());
  } else if (queue_.ShouldNotify()) {
    events_.NotifyQueue(index_);
  }
  return turn;
}

// kMore: one packet was completed. kIdle: the ring is empty.
NetTurn NetTransmitter::SendOne() {
  std::optional<DescriptorChain> chain = queue_.Pop();
  if (!chain) return queue_.broken() ? NetTurn::kBroken : NetTurn::kIdle;
  Reader& reader = chain->reader();
  if (reader.remaining() < kNetHeaderSize) {
    queue_.Break("transmitted packet is shorter than its header");
    return NetTurn::kBroken;
  }
  NetTurn turn = NetTurn::kMore;
  if (connected_ && reader.remaining() <= kMaxNetPacket) {
    packet_.clear();
    reader.TakeIovecs(reader.remaining(), packet_);
    NetIo io{NetResult::kDropped};
    if (packet_.size() < IOV_MAX) io = port_.Send(packet_);
    if (io.result == NetResult::kAgain) {
      queue_.Unpop();
      return NetTurn::kBlocked;
    }
    if (io.result == NetResult::kClosed) turn = NetTurn::kClosed;
  }
  queue_.Push(chain->head(), 0);
  return turn;
}

}  // namespace kvmlet::virtio
