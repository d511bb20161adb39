// SPDX-License-Identifier: Apache-2.0
// Accesses of a guest to a device, for tests: little-endian numbers of any
// width. Plain functions.
#ifndef KVMLET_TESTS_DEVICES_PLATFORM_ACCESS_H_
#define KVMLET_TESTS_DEVICES_PLATFORM_ACCESS_H_

#include <array>
#include <cstdint>
#include <span>

#include "vmm/bus/io_device.h"

namespace kvmlet {

// The buffer holds a pattern before, so that a byte left alone is seen.
inline uint64_t ReadFrom(IoDevice& device, uint64_t offset, size_t width) {
  std::array<std::byte, 8> bytes;
  bytes.fill(std::byte{0xa5});
  device.Read(offset, std::span(bytes).first(width));
  return LoadLe(std::span(bytes).first(width));
}

inline void WriteTo(IoDevice& device, uint64_t offset, size_t width,
                    uint64_t value) {
  std::array<std::byte, 8> bytes;
  StoreLe(value, bytes);
  device.Write(offset, std::span(bytes).first(width));
}

}  // namespace kvmlet

#endif  // KVMLET_TESTS_DEVICES_PLATFORM_ACCESS_H_
