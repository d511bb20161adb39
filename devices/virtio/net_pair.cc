// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_pair.h"

#include <sys/epoll.h>

#include <utility>

#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

// Edge triggered: a port that has packets for a guest without buffers must not
// wake the thread again and again. The receiver reads until the port is empty,
// or is run again by the guest's kick.
constexpr uint32_t kPortEvents = EPOLLIN | EPOLLET;

}  // namespace

NetPair::NetPair(EventLoop& loop, NetPort& port, DeviceEvents& events,
                 ActiveQueue receive, ActiveQueue transmit, Options options,
                 std::function<void()> on_closed)
    : loop_(loop),
      port_(port),
      receive_kick_(receive.kick),
      transmit_kick_(transmit.kick),
      on_closed_(std::move(on_closed)) {
  if (receive.queue) {
    receiver_.emplace(*std::move(receive.queue), receive.index, port, events,
                      options.mergeable, options.keep_large);
  }
  if (transmit.queue) {
    transmitter_.emplace(*std::move(transmit.queue), transmit.index, port,
                         events);
  }
}

absl::Status NetPair::Start() {
  started_ = true;
  if (receiver_) {
    KVMLET_RETURN_IF_ERROR(
        loop_.Add(receive_kick_->get(), EPOLLIN, [this](uint32_t) {
          receive_kick_->Consume();
          RunReceiver();
        }));
  }
  if (transmitter_) {
    KVMLET_RETURN_IF_ERROR(
        loop_.Add(transmit_kick_->get(), EPOLLIN, [this](uint32_t) {
          transmit_kick_->Consume();
          RunTransmitter();
        }));
  }
  return absl::OkStatus();
}

absl::Status NetPair::SetActive(bool active) {
  if (active_ == active || closed_ || broken_) return absl::OkStatus();
  active_ = active;
  if (transmitter_) transmitter_->SetConnected(active);
  if (!active) {
    loop_.Remove(port_.fd());
    waits_for_room_ = false;
    return absl::OkStatus();
  }
  KVMLET_RETURN_IF_ERROR(
      loop_.Add(port_.fd(), kPortEvents,
                [this](uint32_t epoll_events) { OnPort(epoll_events); }));
  // Buffers and packets may have come before anybody listened.
  if (receiver_) receive_kick_->Signal();
  if (transmitter_) transmit_kick_->Signal();
  return absl::OkStatus();
}

void NetPair::Stop() {
  if (!started_) return;
  started_ = false;
  if (receiver_) loop_.Remove(receive_kick_->get());
  if (transmitter_) loop_.Remove(transmit_kick_->get());
  if (active_) loop_.Remove(port_.fd());
  active_ = false;
}

void NetPair::OnPort(uint32_t epoll_events) {
  if ((epoll_events & EPOLLOUT) != 0 && waits_for_room_) RunTransmitter();
  if ((epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (receiver_) {
    RunReceiver();
  } else if ((epoll_events & (EPOLLHUP | EPOLLERR)) != 0) {
    Close();
  }
}

void NetPair::RunReceiver() {
  if (!active_) return;
  switch (receiver_->Run()) {
    case NetTurn::kMore:
      receive_kick_->Signal();
      break;
    case NetTurn::kClosed:
      Close();
      break;
    case NetTurn::kBroken:
      broken_ = true;
      Stop();
      break;
    case NetTurn::kIdle:
    case NetTurn::kBlocked:
      break;
  }
}

void NetPair::RunTransmitter() {
  if (!started_) return;
  const NetTurn turn = transmitter_->Run();
  WatchForRoom(turn == NetTurn::kBlocked);
  switch (turn) {
    case NetTurn::kMore:
      transmit_kick_->Signal();
      break;
    case NetTurn::kClosed:
      Close();
      break;
    case NetTurn::kBroken:
      broken_ = true;
      Stop();
      break;
    case NetTurn::kIdle:
    case NetTurn::kBlocked:
      break;
  }
}

void NetPair::WatchForRoom(bool wanted) {
  // Still no room: a tap tells of the next room only after it was asked again.
  if ((!waits_for_room_ && !wanted) || !active_) return;
  waits_for_room_ = wanted;
  // The port is watched while the pair is active, so this cannot fail.
  loop_.Modify(port_.fd(), wanted ? kPortEvents | EPOLLOUT : kPortEvents)
      .IgnoreError();
}

void NetPair::Close() {
  if (closed_) return;
  closed_ = true;
  waits_for_room_ = false;
  if (active_) loop_.Remove(port_.fd());
  active_ = false;
  if (transmitter_) {
    // Packets that waited for the port are completed and lost.
    transmitter_->SetConnected(false);
    transmit_kick_->Signal();
  }
  on_closed_();
}

}  // namespace kvmlet::virtio
