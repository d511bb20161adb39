// SPDX-License-Identifier: Apache-2.0
// What the two halves of the console's fuzz target share: the input as values.
#ifndef KVMLET_TESTS_FUZZ_CONSOLE_CONSOLE_H_
#define KVMLET_TESTS_FUZZ_CONSOLE_CONSOLE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace kvmlet::fuzz {

// Zeroes follow the end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(data, size) {}
  bool empty() const { return bytes_.empty(); }
  template <typename T>
  T Next() {
    T value{};
    const auto taken = Take(sizeof(T));
    std::memcpy(&value, taken.data(), taken.size());
    return value;
  }
  // Fewer when fewer are left, but one at least.
  std::span<const std::byte> Take(size_t size) {
    static constexpr std::byte kZero{};
    if (bytes_.empty() || size == 0) return {&kZero, 1};
    const auto taken = bytes_.first(std::min(size, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return std::as_bytes(taken);
  }

 private:
  std::span<const uint8_t> bytes_;
};

// A program of accesses to the serial port's registers.
void FuzzUart(Input input);

}  // namespace kvmlet::fuzz

#endif  // KVMLET_TESTS_FUZZ_CONSOLE_CONSOLE_H_
