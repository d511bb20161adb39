// SPDX-License-Identifier: Apache-2.0
// A hostile driver of the balloon: the input is a program that writes
// configuration, RAM and rings, sends lists of pages, reports and statistics,
// and resets the device with features and queues of its choice.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "tests/devices/virtio/balloon/balloon_harness.h"

namespace kvmlet::virtio {
namespace {

constexpr int kMaxSteps = 200;

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

class Driver {
 public:
  explicit Driver(Input input)
      : input_(input), balloon_({.reporting = true, .deflate_on_oom = true}) {}

  void Run() {
    Activate();
    for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) Step();
    balloon_.Turn();
    balloon_.device.Reset();
  }

 private:
  void Activate() {
    const auto bits = input_.Next<uint32_t>();
    const auto queues = input_.Next<uint8_t>();
    balloon_.device.Reset();
    balloon_
        .Activate((balloon_.device.device_features() & bits) |
                      (bits & (kFeatureEventIdx | kFeatureIndirectDesc)),
                  queues % 6, {(queues >> 4) % 5u})
        .IgnoreError();
  }

  void Step() {
    const auto operation = input_.Next<uint8_t>();
    const size_t queue = (operation >> 4) % BalloonHarness::kQueues;
    switch (operation & 0xf) {
      case 0:
      case 1:
        return Poke();
      case 2:
      case 3:
      case 4:
        return Submit(queue);
      case 5:
      case 6:
        return Pages(queue);
      case 7:
        return balloon_.kicks[queue].Signal();
      case 8:
        return WriteConfig();
      case 9:
        return Activate();
      case 10:
        return balloon_.drivers[queue].SetAvailIndex(input_.Next<uint16_t>());
      case 11:
        return balloon_.device.SetTarget(input_.Next<uint32_t>());
      case 12:
        return balloon_.device.Inhibit(input_.Next<uint8_t>() & 1);
      case 13:
        return balloon_.device.SetStatsInterval(
            std::chrono::seconds(input_.Next<uint8_t>()));
      default:
        return balloon_.Turn();
    }
  }

  void Poke() {
    const Gpa at{input_.Next<uint32_t>() % balloon_.memory.size()};
    (void)balloon_.memory.Store(at, input_.Next<uint16_t>());
  }

  void WriteConfig() {
    const uint32_t offset = input_.Next<uint8_t>() % 13;
    const auto value = input_.Next<uint32_t>();
    balloon_.device.WriteConfig(offset, std::as_bytes(std::span(&value, 1)));
  }

  void Pages(size_t queue) {
    std::vector<uint32_t> pages(input_.Next<uint8_t>() % 64);
    for (uint32_t& page : pages) page = input_.Next<uint16_t>();
    if (pages.empty()) return;
    balloon_.drivers[queue].Readable(std::as_bytes(std::span(pages))).Submit();
  }

  void Submit(size_t queue) {
    const auto shape = input_.Next<uint8_t>();
    fakes::FakeDriver& driver = balloon_.drivers[queue];
    for (int i = 0; i <= shape % 4; ++i) {
      const Gpa at{input_.Next<uint32_t>() % (2 * balloon_.memory.size())};
      const uint32_t length = input_.Next<uint16_t>();
      if ((shape >> (4 + i) & 1) != 0) {
        driver.WritableAt(at, length);
      } else {
        driver.ReadableAt(at, length);
      }
    }
    if ((shape & 8) != 0) driver.Indirect();
    driver.Submit();
  }

  Input input_;
  BalloonHarness balloon_;
};

}  // namespace
}  // namespace kvmlet::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::virtio::Driver(kvmlet::virtio::Input(data, size)).Run();
  return 0;
}
