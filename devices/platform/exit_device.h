// SPDX-License-Identifier: Apache-2.0
// The exit device: a guest that writes a number to it ends, and the number is
// its verdict. One register of 1, 2 or 4 bytes at offset 0, which reads as
// zero. Thread-safe.
#ifndef KVMLET_DEVICES_PLATFORM_EXIT_DEVICE_H_
#define KVMLET_DEVICES_PLATFORM_EXIT_DEVICE_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/bus/guest_requests.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class ExitDevice : public IoDevice {
 public:
  static constexpr uint64_t kSize = 4;

  explicit ExitDevice(GuestRequests& requests) : requests_(requests) {}

  std::string_view name() const override { return "exit"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  GuestRequests& requests_;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_EXIT_DEVICE_H_
