// SPDX-License-Identifier: Apache-2.0
// A balloon on a loop of the test's own, with a fake driver on each of its
// five queues. Not thread-safe: the loop runs in Turn, on the test's thread.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_BALLOON_BALLOON_HARNESS_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_BALLOON_BALLOON_HARNESS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "devices/virtio/balloon.h"
#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {

class BalloonEvents : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t queue) override { queues.push_back(queue); }
  void NotifyConfig() override { ++configs; }
  void SetNeedsReset(std::string_view) override { ++resets_asked; }
  int QueueCallFd(uint16_t) override { return -1; }

  std::vector<uint16_t> queues;
  int configs = 0;
  int resets_asked = 0;
};

class BalloonHarness {
 public:
  static constexpr uint64_t kSpace = 0x10000;
  static constexpr uint64_t kMemory = 4 << 20;
  static constexpr size_t kQueues = 5;

  explicit BalloonHarness(BalloonOptions options = {})
      : device(std::move(options), *loop) {
    for (size_t i = 0; i < kQueues; ++i) {
      drivers.emplace_back(memory, 64, Gpa{0x10000 + i * kSpace}, kSpace);
      kicks.push_back(*EventFd::Create());
    }
  }

  // Enables the first `queues` of them, and those in `more`.
  absl::Status Activate(uint64_t features, size_t queues,
                        std::vector<size_t> more = {}) {
    ActiveState state{.memory = &memory,
                      .events = &events,
                      .features = kFeatureVersion1 | features,
                      .queues = {}};
    for (uint16_t i = 0; i < kQueues; ++i) {
      ActiveQueue queue{.index = i, .queue = {}, .kick = &kicks[i]};
      bool enabled = i < queues;
      for (const size_t other : more) enabled = enabled || other == i;
      if (enabled) queue.queue = drivers[i].CreateQueue(state.features);
      state.queues.push_back(std::move(queue));
    }
    return device.Activate(std::move(state));
  }

  // Lets the loop run what waits for it, several times over.
  void Turn() {
    int left = 4;
    std::function<void()> next = [&] {
      if (--left == 0) return loop->Stop();
      loop->RunAfter({}, next);
    };
    loop->RunAfter({}, next);
    loop->Run();
  }
  void TurnFor(std::chrono::milliseconds time) {
    loop->RunAfter(time, [this] { loop->Stop(); });
    loop->Run();
  }
  void Kick(size_t queue) {
    kicks[queue].Signal();
    Turn();
  }

  GuestMemory memory = fakes::MakeMemory(kMemory);
  std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  BalloonEvents events;
  std::vector<fakes::FakeDriver> drivers;
  std::vector<EventFd> kicks;
  BalloonDevice device;  // Last: it uses all of the above.
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_BALLOON_BALLOON_HARNESS_H_
