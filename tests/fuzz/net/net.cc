// SPDX-License-Identifier: Apache-2.0
// A hostile driver of the network card: the input is a program that writes
// descriptors and rings, kicks queues, lets packets arrive or the host end
// fail, and resets the device with features of its choice.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tests/devices/virtio/net/net_harness.h"

namespace kvmlet::virtio {
namespace {

constexpr uint64_t kSpace = 0x10000;
constexpr uint16_t kPairs = 2;
constexpr uint16_t kQueues = 2 * kPairs + 1;
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
  explicit Driver(Input input) : input_(input), net_(kPairs, kSpace) {}

  void Run() {
    Activate();
    for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) Step();
    net_.Turn();
    net_.device->Reset();
  }

 private:
  void Activate() {
    const auto bits = input_.Next<uint32_t>();
    net_.device->Reset();
    net_.Activate(kFeatureVersion1 | (net_.device->device_features() & bits) |
                  (bits & (kFeatureEventIdx | kFeatureIndirectDesc)))
        .IgnoreError();
  }

  void Step() {
    const auto operation = input_.Next<uint8_t>();
    const size_t queue = (operation >> 4) % kQueues;
    FakePort& port = net_.port(queue % kPairs);
    switch (operation & 0xf) {
      case 0:
        return Poke();
      case 1:
      case 2:
      case 3:
        return Submit(queue);
      case 4:
        return net_.Kick(queue);
      case 5:
      case 6:
        return port.Arrive(Pattern(input_.Next<uint16_t>()));
      case 7:
        port.send_result = static_cast<NetResult>(input_.Next<uint8_t>() % 4);
        return;
      case 8:
        return port.CloseByHost();
      case 9:
        return Activate();
      case 10:
        return net_.driver(queue).SetAvailIndex(input_.Next<uint16_t>());
      case 11:
        net_.backend->refuse = !net_.backend->refuse;
        return;
      default:
        return net_.Turn();
    }
  }

  // Any two bytes of RAM, rings included.
  void Poke() {
    const Gpa at{input_.Next<uint32_t>() % net_.memory.size()};
    (void)net_.memory.Store(at, input_.Next<uint16_t>());
  }

  // A chain of up to four buffers with lengths and places from the input.
  void Submit(size_t queue) {
    const auto shape = input_.Next<uint8_t>();
    fakes::FakeDriver& driver = net_.driver(queue);
    for (int i = 0; i <= shape % 4; ++i) {
      const Gpa at{input_.Next<uint32_t>() % (2 * net_.memory.size())};
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
  NetHarness net_;
};

}  // namespace
}  // namespace kvmlet::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::virtio::Driver(kvmlet::virtio::Input(data, size)).Run();
  return 0;
}
