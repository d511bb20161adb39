// SPDX-License-Identifier: Apache-2.0
// A hostile guest at its consoles: the first byte chooses between the serial
// port and the virtio console, the rest is a program of register accesses, or
// of descriptors, rings, kicks, control messages, input and resets.
#include "tests/fuzz/console/console.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "devices/virtio/console.h"
#include "tests/fakes/fake_char_backend.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fake_guest_requests.h"
#include "vmm/console_watch.h"
#include "vmm/verdict_port.h"

namespace kvmlet::fuzz {
namespace {

using virtio::ActiveState;
using virtio::ConsoleDevice;

constexpr uint16_t kQueues = 6;
constexpr uint16_t kQueueSize = 16;
constexpr uint64_t kSpace = 0x8000;
constexpr int kMaxSteps = 200;

class Driver : virtio::DeviceEvents {
 public:
  explicit Driver(Input input) : input_(input) {
    std::vector<ConsoleDevice::Port> ports(2);
    ports[0].console = true;
    ports[0].backend = &watch_;
    ports[1].name = VerdictPort::kName;
    ports[1].output = [this](std::span<const std::byte> data) {
      verdict_.OnOutput(data);
    };
    device_ = ConsoleDevice::Create(std::move(ports), *loop_);
    for (uint16_t i = 0; i < kQueues; ++i) {
      kicks_.push_back(*EventFd::Create());
      drivers_.emplace_back(memory_, kQueueSize, Base(i), kSpace);
    }
    // Every event of a turn is handled before what is posted in it.
    loop_
        ->Add(turn_.get(), EPOLLIN,
              [this](uint32_t) {
                turn_.Consume();
                loop_->Post([this] { loop_->Stop(); });
              })
        .IgnoreError();
  }

  void Run() {
    Activate();
    for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) Step();
    device_->Reset();
  }

 private:
  static Gpa Base(uint16_t queue) { return Gpa{0x10000 + queue * kSpace}; }

  void Activate() {
    const auto features = input_.Next<uint8_t>();
    ActiveState state{.memory = &memory_,
                      .events = this,
                      .features = virtio::kFeatureVersion1,
                      .queues = {}};
    if ((features & 1) == 0) state.features |= 1ull << 1;  // MULTIPORT
    if ((features & 2) != 0) state.features |= virtio::kFeatureIndirectDesc;
    if ((features & 4) != 0) state.features |= virtio::kFeatureEventIdx;
    for (uint16_t i = 0; i < kQueues; ++i) {
      std::optional<virtio::VirtQueue> queue;
      if ((features >> 3) % 7 != i + 1) {
        queue = drivers_[i].CreateQueue(state.features);
      }
      state.queues.push_back(
          {.index = i, .queue = std::move(queue), .kick = &kicks_[i]});
    }
    device_->Activate(std::move(state)).IgnoreError();
  }

  void Step() {
    const auto step = input_.Next<uint8_t>();
    const uint16_t queue = (step >> 4) % kQueues;
    fakes::FakeDriver& driver = drivers_[queue];
    switch (step & 15) {
      case 0:
      case 1:
        driver.Readable(input_.Take(input_.Next<uint8_t>())).Submit();
        return;
      case 2:
        driver.Writable(input_.Next<uint8_t>() + 1u).Submit();
        return;
      case 3: {
        // A control message of the guest's choice, short or long.
        drivers_[3].Readable(input_.Take(8)).Submit();
        kicks_[3].Signal();
        return;
      }
      case 4:
        driver.Readable(input_.Take(4)).Writable(16).Indirect().Submit();
        return;
      case 5:
        driver.SetAvailIndex(input_.Next<uint16_t>());
        return;
      case 6:
        driver.SetAvailEntry(input_.Next<uint8_t>() % kQueueSize,
                             input_.Next<uint16_t>());
        return;
      case 7:
        driver.SetDescriptor(
            input_.Next<uint8_t>() % kQueueSize,
            {input_.Next<uint32_t>(), input_.Next<uint16_t>(),
             input_.Next<uint16_t>(), input_.Next<uint16_t>()});
        return;
      case 8:
        backend_.Type(std::string(input_.Next<uint16_t>() % 5000, 'x'));
        return;
      case 9:
        device_->Reset();
        Turn();
        Activate();
        return;
      case 10: {
        std::vector<std::byte> config(input_.Next<uint8_t>() % 16);
        device_->ReadConfig(input_.Next<uint32_t>() % 12, config);
        return;
      }
      default:
        kicks_[queue].Signal();
        Turn();
        return;
    }
  }

  void Turn() {
    turn_.Signal();
    loop_->Run();
  }

  void NotifyQueue(uint16_t) override {}
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view) override {}
  int QueueCallFd(uint16_t) override { return -1; }

  Input input_;
  GuestMemory memory_ = fakes::MakeMemory(0x10000 + kQueues * kSpace);
  fakes::FakeCharBackend backend_;
  ConsoleWatch watch_{backend_};
  fakes::FakeGuestRequests requests_;
  VerdictPort verdict_{requests_};
  EventFd turn_ = *EventFd::Create();
  std::vector<EventFd> kicks_;
  std::vector<fakes::FakeDriver> drivers_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  std::unique_ptr<ConsoleDevice> device_;
};

}  // namespace
}  // namespace kvmlet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FLAGS_minloglevel = google::GLOG_FATAL;
  kvmlet::fuzz::Input input(data, size);
  if (input.Next<uint8_t>() % 2 == 0) {
    kvmlet::fuzz::FuzzUart(input);
  } else {
    kvmlet::fuzz::Driver(input).Run();
  }
  return 0;
}
