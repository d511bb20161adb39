// SPDX-License-Identifier: Apache-2.0
// What a bus calls: a device that answers reads and writes at an offset into
// the range where it was put. It cannot fail: a wild access is data (all ones,
// ignored), never an error.
//
// Threads: Read and Write are called by several vCPU threads at once; the
// device does its own locking. `data` is 1 to 8 bytes, little endian; an
// access never reaches beyond the device's range.
#ifndef KVMLET_VMM_BUS_IO_DEVICE_H_
#define KVMLET_VMM_BUS_IO_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace kvmlet {

class IoDevice {
 public:
  virtual ~IoDevice() = default;
  virtual std::string_view name() const = 0;
  virtual void Read(uint64_t offset, std::span<std::byte> data) = 0;
  virtual void Write(uint64_t offset, std::span<const std::byte> data) = 0;
};

// The bytes of an access as an unsigned number, and back. More than eight
// bytes are cut off.
inline uint64_t LoadLe(std::span<const std::byte> data) {
  uint64_t value = 0;
  std::memcpy(&value, data.data(), data.size() < 8 ? data.size() : 8);
  return value;
}
inline void StoreLe(uint64_t value, std::span<std::byte> data) {
  std::memcpy(data.data(), &value, data.size() < 8 ? data.size() : 8);
}
inline void FillOnes(std::span<std::byte> data) {
  std::memset(data.data(), 0xff, data.size());
}

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_IO_DEVICE_H_
