// SPDX-License-Identifier: Apache-2.0
// A hostile driver of the memory device: the input is a program that sends
// requests sound and unsound, with buffers in RAM, in plugged and in unplugged
// memory, pokes the rings, resizes, resets, and refuses plugs on the host's
// side. What is plugged must always be what the device says.
#include "devices/virtio/mem.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {
namespace {

constexpr int kMaxSteps = 200;
constexpr uint64_t kBlock = 2 << 20;
constexpr uint64_t kBlocks = 16;
constexpr uint64_t kBase = 4ull << 30;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(data, size) {}
  bool empty() const { return bytes_.empty(); }
  template <typename T>
  T Next() {
    T value{};
    const size_t length = std::min(sizeof(T), bytes_.size());
    std::memcpy(&value, bytes_.data(), length);
    bytes_ = bytes_.subspan(length);
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class QuietEvents final : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t) override {}
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view) override {}
  int QueueCallFd(uint16_t) override { return -1; }
};

class Gate final : public MemoryListener {
 public:
  absl::Status OnPlug(const RamRegion&) override {
    return shut ? absl::ResourceExhaustedError("shut") : absl::OkStatus();
  }
  void OnUnplug(const RamRegion&) override {}
  bool shut = false;
};

class Driver {
 public:
  explicit Driver(Input input) : input_(input) {
    CHECK(region_.AddListener(gate_).ok());
    device_.Attach(events_);
  }

  void Run() {
    Activate();
    for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) {
      Step();
      const MemConfig config = device_.status().config;
      CHECK_EQ(config.plugged_size, region_.plugged_size());
      CHECK_LE(config.plugged_size, config.region_size);
      CHECK_GE(config.usable_region_size, config.requested_size);
    }
    device_.Reset();
  }

 private:
  void Activate() {
    device_.Reset();
    // Rings in RAM, or in the region: then only when that part is plugged.
    const auto where = input_.Next<uint8_t>();
    const Gpa rings =
        where % 4 == 0 ? Gpa{kBase + where * 0x10000ull} : Gpa{0x10000};
    if (!memory_.Contains(rings, 0x80000)) return;
    driver_ = fakes::FakeDriver(memory_, 16, rings, 0x40000);
    ActiveState state{.memory = &memory_,
                      .events = &events_,
                      .features = kFeatureVersion1 | kFeatureIndirectDesc,
                      .queues = {}};
    auto queue = VirtQueue::Create(memory_, driver_.config(), state.features);
    if (!queue.ok()) return;
    state.queues.push_back(
        {.index = 0, .queue = *std::move(queue), .kick = &kick_});
    device_.Activate(std::move(state)).IgnoreError();
  }

  void Turn() {
    kick_.Signal();
    loop_->Post([this] { loop_->Stop(); });
    loop_->Run();
  }

  void Step() {
    // A driver whose own rings are gone cannot go on as FakeDriver does.
    if (!memory_.Contains(driver_.config().desc, 0x40000)) Activate();
    if (!memory_.Contains(driver_.config().desc, 0x40000)) return;
    switch (input_.Next<uint8_t>() % 12) {
      case 0:
      case 1:
      case 2:
        return Request();
      case 3:
        return Buffers();
      case 4:
        return driver_.SetAvailIndex(input_.Next<uint16_t>());
      case 5: {
        const Gpa at{input_.Next<uint32_t>() % memory_.size()};
        return (void)memory_.Store(at, input_.Next<uint16_t>());
      }
      case 6:
        return device_.Resize(input_.Next<uint8_t>() % (kBlocks + 2) * kBlock)
            .IgnoreError();
      case 7:
        return Activate();
      case 8:
        device_.Reset();
        return device_.SystemReset();
      case 9:
        gate_.shut = (input_.Next<uint8_t>() & 1) != 0;
        return;
      case 10:
        region_.DiscardTouched();
        return;
      default:
        return Turn();
    }
  }

  void Request() {
    MemRequest request{};
    const auto shape = input_.Next<uint8_t>();
    request.type = shape % 8 == 7 ? input_.Next<uint16_t>() : shape % 4;
    request.addr = kBase + input_.Next<uint8_t>() % kBlocks * kBlock;
    request.nb_blocks = 1 + input_.Next<uint8_t>() % 8;
    if (shape >= 0xf0) request.addr = input_.Next<uint64_t>();
    if (shape >= 0xf8) request.nb_blocks = input_.Next<uint16_t>();
    driver_.Readable(request).Writable(10).Submit();
  }

  // RAM, or anywhere around the region.
  Gpa Anywhere() {
    const auto at = input_.Next<uint32_t>();
    return (at & 1) != 0 ? Gpa{at % (2 * memory_.size())}
                         : Gpa{kBase - kBlock + at % ((kBlocks + 2) * kBlock)};
  }
  void Buffers() {
    const auto shape = input_.Next<uint8_t>();
    driver_.ReadableAt(Anywhere(), shape % 64);
    if ((shape & 64) != 0) driver_.ReadableAt(Anywhere(), 24);
    driver_.WritableAt(Anywhere(), shape % 16);
    if ((shape & 128) != 0) driver_.Indirect();
    driver_.Submit();
  }

  Input input_;
  GuestMemory memory_ = fakes::MakeMemory(2 << 20);
  DeviceMemory& region_ =
      memory_.AddDevice(*DeviceMemory::Create({.flag = "fuzz",
                                               .base = Gpa{kBase},
                                               .size = kBlocks * kBlock,
                                               .block_size = kBlock,
                                               .backing = {}}));
  Gate gate_;
  QuietEvents events_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  EventFd kick_ = *EventFd::Create();
  fakes::FakeDriver driver_{memory_, 16};
  MemDevice device_{region_,
                    {.requested = 8 * kBlock,
                     .memory_block = 4 * kBlock,
                     .node = std::nullopt},
                    *loop_,
                    [] {}};
};

}  // namespace
}  // namespace kvmlet::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::virtio::Driver(kvmlet::virtio::Input(data, size)).Run();
  return 0;
}
