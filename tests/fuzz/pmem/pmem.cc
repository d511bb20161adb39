// SPDX-License-Identifier: Apache-2.0
// A hostile driver of persistent memory: the input is a program that submits
// requests of any shape, writes RAM and rings, lets flushes end or fail, and
// resets the device.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tests/devices/virtio/pmem/pmem_harness.h"

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
  explicit Driver(Input input) : input_(input) {}

  void Run() {
    Activate();
    for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) Step();
    pmem_.Turn();
    pmem_.device.Reset();
  }

 private:
  void Activate() {
    pmem_.device.Reset();
    const auto bits = input_.Next<uint32_t>();
    pmem_.Activate(bits & (kFeatureEventIdx | kFeatureIndirectDesc))
        .IgnoreError();
  }

  void Step() {
    switch (input_.Next<uint8_t>() % 10) {
      case 0:
        return Poke();
      case 1:
        pmem_.Flush();
        return;
      case 2:
      case 3:
        return Submit();
      case 4:
        return pmem_.Kick();
      case 5:
        return pmem_.disk.Finish(input_.Next<uint8_t>() % 2 == 0 ? 0 : EIO);
      case 6:
        return pmem_.driver.MakeAvailable(input_.Next<uint8_t>() % 64);
      case 7:
        return pmem_.driver.SetAvailIndex(input_.Next<uint16_t>());
      case 8:
        return Activate();
      default:
        return pmem_.Turn();
    }
  }

  void Poke() {
    const Gpa at{input_.Next<uint32_t>() % pmem_.memory.size()};
    (void)pmem_.memory.Store(at, input_.Next<uint16_t>());
  }

  void Submit() {
    const auto shape = input_.Next<uint8_t>();
    for (int i = 0; i <= shape % 4; ++i) {
      const Gpa at{input_.Next<uint32_t>() % (2 * pmem_.memory.size())};
      const uint32_t length = input_.Next<uint8_t>();
      if ((shape >> (4 + i) & 1) != 0) {
        pmem_.driver.WritableAt(at, length);
      } else {
        pmem_.driver.ReadableAt(at, length);
      }
    }
    if ((shape & 8) != 0) pmem_.driver.Indirect();
    pmem_.driver.Submit();
  }

  Input input_;
  PmemHarness pmem_;
};

}  // namespace
}  // namespace kvmlet::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::virtio::Driver(kvmlet::virtio::Input(data, size)).Run();
  return 0;
}
