// SPDX-License-Identifier: Apache-2.0
// A memory device of 64 blocks of 2 MiB at 4 GiB, 32 of them requested, with
// a memory block of 16 MiB; driven through MemBlocks or through its queue. One
// thread.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_MEM_MEM_FIXTURE_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_MEM_MEM_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "devices/virtio/mem.h"
#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {

class MemEvents final : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t) override { ++notifications; }
  void NotifyConfig() override { ++config_changes; }
  void ConfigChanging() override { ++generation; }
  void SetNeedsReset(std::string_view why) override { reset_why = why; }
  int QueueCallFd(uint16_t) override { return -1; }

  int notifications = 0;
  int config_changes = 0;
  int generation = 0;
  std::string reset_why;
};

// Refuses while told to.
class Gate final : public MemoryListener {
 public:
  absl::Status OnPlug(const RamRegion&) override {
    return shut ? absl::ResourceExhaustedError("the gate is shut")
                : absl::OkStatus();
  }
  void OnUnplug(const RamRegion&) override {}
  bool shut = false;
};

class MemFixture : public testing::Test {
 protected:
  static constexpr uint64_t kBlock = 2 << 20;
  static constexpr uint16_t kBlocks = 64;
  static constexpr uint64_t kRequested = 32 * kBlock;
  static constexpr uint64_t kMemoryBlock = 16 << 20;
  // 32 blocks, and two memory blocks.
  static constexpr uint64_t kUsable = kRequested + 2 * kMemoryBlock;
  static constexpr uint64_t kBase = 4ull << 30;

  MemFixture() {
    device_memory_ =
        &memory_.AddDevice(*DeviceMemory::Create({.flag = "--virtio-mem vm0",
                                                  .base = Gpa{kBase},
                                                  .size = kBlocks * kBlock,
                                                  .block_size = kBlock,
                                                  .backing = {}}));
    EXPECT_TRUE(device_memory_->AddListener(gate_).ok());
    device_ = std::make_unique<MemDevice>(*device_memory_, Options(), *loop_,
                                          [this] { ++changes_; });
    device_->Attach(events_);
  }

  static MemBlocks::Options Options() {
    return {.requested = kRequested,
            .memory_block = kMemoryBlock,
            .node = std::nullopt,
            .audit_period = std::chrono::milliseconds(20)};
  }
  static MemRequest Request(MemRequestType type, uint64_t first,
                            uint16_t count) {
    MemRequest request{};
    request.type = static_cast<uint16_t>(type);
    request.addr = kBase + first * kBlock;
    request.nb_blocks = count;
    return request;
  }
  static MemRequest Plug(uint64_t first, uint16_t count) {
    return Request(MemRequestType::kPlug, first, count);
  }
  static MemRequest Unplug(uint64_t first, uint16_t count) {
    return Request(MemRequestType::kUnplug, first, count);
  }
  static MemRequest State(uint64_t first, uint16_t count) {
    return Request(MemRequestType::kState, first, count);
  }
  static MemRequest UnplugAll() {
    return Request(MemRequestType::kUnplugAll, 0, 0);
  }

  void Activate() {
    ActiveState state{.memory = &memory_,
                      .events = &events_,
                      .features = kFeatureVersion1,
                      .queues = {}};
    state.queues.push_back({.index = 0,
                            .queue = driver_.CreateQueue(kFeatureVersion1),
                            .kick = &kick_});
    ASSERT_TRUE(device_->Activate(std::move(state)).ok());
  }
  // Kicks and runs the loop until `done`, at most ten seconds.
  bool RunUntil(const std::function<bool()>& done) {
    kick_.Signal();
    const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(10);
    std::function<void()> check = [&] {
      if (done() || EventLoop::Clock::now() > deadline) {
        loop_->Stop();
      } else {
        loop_->RunAfter(std::chrono::milliseconds(1), check);
      }
    };
    loop_->RunAfter({}, check);
    loop_->Run();
    return done();
  }
  // Sends a request through the queue and waits for its answer.
  std::optional<MemResponse> Ask(const MemRequest& request) {
    const auto sent = driver_.Readable(request).Writable(10).Submit();
    const uint16_t wanted = driver_.avail_index();
    if (!RunUntil([&] { return driver_.used_index() == wanted; })) return {};
    const auto used = driver_.PopUsed();
    EXPECT_EQ(used->len, 10u);
    return sent.WritableAs<MemResponse>(0);
  }
  MemResponseType Answer(const MemRequest& request) {
    const auto response = Ask(request);
    EXPECT_TRUE(response) << "no answer";
    return static_cast<MemResponseType>(response ? response->type : 99);
  }

  GuestMemory memory_ = fakes::MakeMemory();
  DeviceMemory* device_memory_ = nullptr;
  Gate gate_;
  fakes::FakeDriver driver_{memory_, /*queue_size=*/64};
  EventFd kick_ = *EventFd::Create();
  MemEvents events_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  int changes_ = 0;
  std::unique_ptr<MemDevice> device_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_MEM_MEM_FIXTURE_H_
