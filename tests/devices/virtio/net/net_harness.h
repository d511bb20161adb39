// SPDX-License-Identifier: Apache-2.0
// A network card with a fake backend, a fake driver for each of its queues and
// a loop that the test runs by hand. One pair of queues. Single-threaded.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_NET_NET_HARNESS_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_NET_NET_HARNESS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "devices/backend/net_backend.h"
#include "devices/virtio/net.h"
#include "devices/virtio/net_spec.h"
#include "tests/fakes/fake_driver.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

using Bytes = std::vector<std::byte>;

// `length` bytes that differ from their neighbours.
Bytes Pattern(size_t length, uint8_t seed = 1);
// A header of zeroes, then the frame.
Bytes WithHeader(const Bytes& frame);

class FakePort : public NetPort {
 public:
  FakePort();
  int fd() const override { return ready_->get(); }
  NetIo Send(std::span<const iovec> packet) override;
  NetIo Receive(std::span<const iovec> buffers) override;

  // The host sends a packet to the guest.
  void Arrive(Bytes packet);
  void CloseByHost();

  std::vector<Bytes> sent;
  std::deque<Bytes> waiting;
  NetResult send_result = NetResult::kDone;
  bool closed = false;
  int receive_calls = 0;
  size_t largest_offer = 0;  // bytes that one Receive was offered

 private:
  std::optional<EventFd> ready_;
};

class FakeBackend : public NetBackend {
 public:
  explicit FakeBackend(uint16_t ports = 1);
  std::string_view name() const override { return "fake"; }
  uint16_t port_count() const override {
    return static_cast<uint16_t>(ports_.size());
  }
  FakePort& port(uint16_t index) override { return *ports_.at(index); }
  uint32_t offloads() const override { return supported; }
  absl::Status SetOffloads(uint32_t offloads) override;
  absl::Status SetActivePorts(uint16_t count) override;
  uint16_t mtu() const override { return mtu_value; }

  uint32_t supported = 0xf;
  uint32_t offloads_set = 0;
  uint16_t active_ports = 0;
  bool refuse = false;
  uint16_t mtu_value = 0;

 private:
  std::vector<std::unique_ptr<FakePort>> ports_;
};

class FakeEvents : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t queue) override { ++notified[queue]; }
  void NotifyConfig() override { ++config_changes; }
  void SetNeedsReset(std::string_view reason) override {
    reset_reason = std::string(reason);
    ++resets;
  }
  int QueueCallFd(uint16_t /*queue*/) override { return -1; }

  std::map<uint16_t, int> notified;
  int config_changes = 0;
  int resets = 0;
  std::string reset_reason;
};

class NetHarness {
 public:
  static constexpr uint16_t kQueueSize = 64;
  static constexpr uint64_t kUsual = kFeatureVersion1 | kFeatureEventIdx |
                                     kFeatureIndirectDesc | kNetMergeable |
                                     kNetStatus | kNetControl | kNetMac |
                                     kNetControlRx | kNetControlMac;

  // Each driver has `space` bytes of RAM, the first one at `space`.
  explicit NetHarness(uint16_t pairs = 1, uint64_t space = 0x100000);
  // The device borrows the loop and the kicks.
  ~NetHarness() { device.reset(); }
  NetHarness(const NetHarness&) = delete;
  NetHarness& operator=(const NetHarness&) = delete;

  // Every queue enabled; the driver of queue i is driver(i).
  absl::Status Activate(uint64_t features = kUsual);
  fakes::FakeDriver& driver(size_t queue) { return *drivers_.at(queue); }
  fakes::FakeDriver& rx() { return driver(0); }
  fakes::FakeDriver& tx() { return driver(1); }
  void Kick(size_t queue) { kicks_.at(queue).Signal(); }
  // Runs the loop until it has nothing to do.
  void Pump();
  // Runs the callbacks of what is ready now, once.
  void Turn();
  // Sends a command with its arguments; the acknowledgement, or nothing when
  // the device did not answer.
  std::optional<uint8_t> Command(const Bytes& command, size_t queue = 2);
  NetConfigSpace Config();
  FakePort& port(uint16_t index = 0) { return backend->port(index); }

  GuestMemory memory;
  FakeEvents events;
  std::unique_ptr<EventLoop> loop;
  FakeBackend* backend;  // owned by the device
  std::unique_ptr<NetDevice> device;

 private:
  std::vector<std::unique_ptr<fakes::FakeDriver>> drivers_;
  std::vector<EventFd> kicks_;
  std::optional<EventFd> turn_over_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_NET_NET_HARNESS_H_
