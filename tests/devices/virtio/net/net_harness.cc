// SPDX-License-Identifier: Apache-2.0
#include "tests/devices/virtio/net/net_harness.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace kvmlet::virtio {
namespace {

// More than any test needs; the rest of them finds nothing to do.
constexpr int kPumpTurns = 20;

}  // namespace
Bytes Pattern(size_t length, uint8_t seed) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) {
    bytes[i] = static_cast<std::byte>((i * 7 + seed) & 0xff);
  }
  return bytes;
}

Bytes WithHeader(const Bytes& frame) {
  Bytes packet(kNetHeaderSize + frame.size());
  std::copy(frame.begin(), frame.end(), packet.begin() + kNetHeaderSize);
  return packet;
}

FakePort::FakePort() {
  absl::StatusOr<EventFd> ready = EventFd::Create();
  CHECK(ready.ok());
  ready_.emplace(*std::move(ready));
}

NetIo FakePort::Send(std::span<const iovec> packet) {
  if (closed) return {NetResult::kClosed};
  if (send_result != NetResult::kDone) return {send_result};
  Bytes bytes;
  for (const iovec& part : packet) {
    const auto* data = static_cast<const std::byte*>(part.iov_base);
    bytes.insert(bytes.end(), data, data + part.iov_len);
  }
  sent.push_back(std::move(bytes));
  return {NetResult::kDone, sent.back().size()};
}

NetIo FakePort::Receive(std::span<const iovec> buffers) {
  ++receive_calls;
  largest_offer = std::max(largest_offer, TotalBytes(buffers));
  if (waiting.empty()) {
    return {closed ? NetResult::kClosed : NetResult::kAgain};
  }
  const Bytes packet = std::move(waiting.front());
  waiting.pop_front();
  return {NetResult::kDone, CopyToIovecs(buffers, 0, packet)};
}

void FakePort::Arrive(Bytes packet) {
  waiting.push_back(std::move(packet));
  ready_->Signal();
}

void FakePort::CloseByHost() {
  closed = true;
  ready_->Signal();
}

FakeBackend::FakeBackend(uint16_t ports) {
  for (uint16_t i = 0; i < ports; ++i) {
    ports_.push_back(std::make_unique<FakePort>());
  }
}

absl::Status FakeBackend::SetOffloads(uint32_t offloads) {
  if (refuse) return absl::InternalError("refused");
  offloads_set = offloads;
  return absl::OkStatus();
}

absl::Status FakeBackend::SetActivePorts(uint16_t count) {
  if (refuse) return absl::InternalError("refused");
  active_ports = count;
  return absl::OkStatus();
}

NetHarness::NetHarness(uint16_t pairs, uint64_t space)
    : memory(fakes::MakeMemory((2ull * pairs + 2) * space)) {
  absl::StatusOr<std::unique_ptr<EventLoop>> made = EventLoop::Create();
  CHECK(made.ok());
  loop = *std::move(made);
  auto fake = std::make_unique<FakeBackend>(pairs);
  backend = fake.get();
  NetOptions options;
  options.mac = MacAddress{0x52, 0x54, 0x00, 1, 2, 3};
  auto created = NetDevice::Create(options, std::move(fake), {loop.get()});
  CHECK(created.ok()) << created.status();
  device = *std::move(created);
  for (size_t i = 0; i < device->queue_sizes().size(); ++i) {
    drivers_.push_back(std::make_unique<fakes::FakeDriver>(
        memory, kQueueSize, Gpa{(i + 1) * space}, space));
    absl::StatusOr<EventFd> kick = EventFd::Create();
    CHECK(kick.ok());
    kicks_.push_back(*std::move(kick));
  }
  absl::StatusOr<EventFd> turn_over = EventFd::Create();
  CHECK(turn_over.ok());
  turn_over_.emplace(*std::move(turn_over));
  CHECK(loop->Add(turn_over_->get(), EPOLLIN,
                  [this](uint32_t) {
                    turn_over_->Consume();
                    loop->Stop();
                  })
            .ok());
}

absl::Status NetHarness::Activate(uint64_t features) {
  ActiveState state;
  state.memory = &memory;
  state.events = &events;
  state.features = features;
  for (uint16_t i = 0; i < drivers_.size(); ++i) {
    ActiveQueue queue;
    queue.index = i;
    queue.queue = drivers_[i]->CreateQueue(features);
    queue.kick = &kicks_[i];
    state.queues.push_back(std::move(queue));
  }
  return device->Activate(std::move(state));
}

void NetHarness::Pump() {
  for (int i = 0; i < kPumpTurns; ++i) Turn();
}

// What is ready was ready before the last signal, and epoll keeps that order.
void NetHarness::Turn() {
  turn_over_->Signal();
  loop->Run();
}

std::optional<uint8_t> NetHarness::Command(const Bytes& command, size_t queue) {
  const fakes::FakeRequest request =
      driver(queue).Readable(std::span(command)).Writable(1).Submit();
  Kick(queue);
  Pump();
  if (!driver(queue).PopUsed()) return std::nullopt;
  return request.StatusByte();
}

NetConfigSpace NetHarness::Config() {
  NetConfigSpace config{};
  device->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
  return config;
}

}  // namespace kvmlet::virtio
