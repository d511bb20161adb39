// SPDX-License-Identifier: Apache-2.0
// A console with a terminal (port 0) and a named port (1), and the driver's
// side of its six queues.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_CONSOLE_CONSOLE_FIXTURE_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_CONSOLE_CONSOLE_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/console.h"
#include "tests/fakes/fake_char_backend.h"
#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {

class ConsoleTest : public testing::Test, protected DeviceEvents {
 protected:
  enum Queue : uint16_t { kIn0, kOut0, kControlIn, kControlOut, kIn1, kOut1 };
  static constexpr uint16_t kQueues = 6;
  static constexpr uint64_t kMultiport = 1ull << 1;
  // Events of control messages.
  static constexpr uint16_t kDeviceReady = 0;
  static constexpr uint16_t kDeviceAdd = 1;
  static constexpr uint16_t kPortReady = 3;
  static constexpr uint16_t kConsolePort = 4;
  static constexpr uint16_t kPortOpen = 6;
  static constexpr uint16_t kPortName = 7;

  struct Message {
    uint32_t port;
    uint16_t event;
    uint16_t value;
    friend bool operator==(const Message&, const Message&) = default;
  };

  ConsoleTest() {
    std::vector<ConsoleDevice::Port> ports(2);
    ports[0].console = true;
    ports[0].backend = &backend_;
    ports[1].name = "kvmlet.test";
    ports[1].output = [this](std::span<const std::byte> data) {
      port_output_.append(reinterpret_cast<const char*>(data.data()),
                          data.size());
    };
    device_ = ConsoleDevice::Create(std::move(ports), *loop_);
    for (uint16_t i = 0; i < kQueues; ++i) {
      kicks_.push_back(*EventFd::Create());
    }
    NewDriver();
  }

  // Clean rings, as a driver sets them up before DRIVER_OK.
  void NewDriver() {
    drivers_.clear();
    buffers_.clear();
    next_buffer_ = 0;
    for (uint16_t i = 0; i < kQueues; ++i) {
      drivers_.emplace_back(memory_, uint16_t{64},
                            Gpa{0x10000 + 0x20000ull * i}, 0x20000);
    }
  }

  void Activate(uint64_t features = kFeatureVersion1 | kMultiport) {
    ActiveState state{
        .memory = &memory_, .events = this, .features = features, .queues = {}};
    for (uint16_t i = 0; i < kQueues; ++i) {
      state.queues.push_back({.index = i,
                              .queue = drivers_[i].CreateQueue(features),
                              .kick = &kicks_[i]});
    }
    ASSERT_TRUE(device_->Activate(std::move(state)).ok());
  }

  fakes::FakeDriver& driver(Queue queue) { return drivers_[queue]; }
  // Lets the device do what there is to do.
  void Turn() {
    for (int i = 0; i < 3; ++i) {
      loop_->RunAfter(std::chrono::milliseconds(1), [this] { loop_->Stop(); });
      loop_->Run();
    }
  }
  void Kick(Queue queue) {
    kicks_[queue].Signal();
    Turn();
  }
  void SendControl(const Message& message) {
    driver(kControlOut).Readable(message).Submit();
    Kick(kControlOut);
  }
  // Gives the device so many buffers for its control messages.
  void OfferControlBuffers(int count, uint32_t size = 64) {
    for (int i = 0; i < count; ++i) {
      buffers_.push_back(driver(kControlIn).Writable(size).Submit());
    }
  }
  // The control messages it has sent since, with the text after the header.
  std::vector<std::pair<Message, std::string>> TakeControl() {
    std::vector<std::pair<Message, std::string>> messages;
    while (const auto used = driver(kControlIn).PopUsed()) {
      const fakes::FakeRequest& buffer = buffers_.at(next_buffer_++);
      if (used->len < sizeof(Message)) {
        messages.push_back({{UINT32_MAX, 0, 0}, ""});
        continue;
      }
      messages.push_back({buffer.WritableAs<Message>(0),
                          buffer.WrittenText(used->len).substr(8)});
    }
    return messages;
  }
  // The driver's whole start, up to two open ports.
  void Handshake() {
    OfferControlBuffers(16);
    SendControl({0, kDeviceReady, 1});
    SendControl({0, kPortReady, 1});
    SendControl({1, kPortReady, 1});
  }

  // DeviceEvents.
  void NotifyQueue(uint16_t) override { ++notifications_; }
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view) override { ++resets_asked_; }
  int QueueCallFd(uint16_t) override { return -1; }

  GuestMemory memory_ = fakes::MakeMemory();
  fakes::FakeCharBackend backend_;
  std::string port_output_;
  std::atomic<int> notifications_{0};
  std::atomic<int> resets_asked_{0};
  std::vector<EventFd> kicks_;
  std::vector<fakes::FakeDriver> drivers_;
  std::vector<fakes::FakeRequest> buffers_;
  size_t next_buffer_ = 0;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  std::unique_ptr<ConsoleDevice> device_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_CONSOLE_CONSOLE_FIXTURE_H_
