// SPDX-License-Identifier: Apache-2.0
// The paravirtual panic device: one byte, which reads as the set of events
// that it knows and is written by a kernel that panics or hands over to its
// crash kernel. Thread-safe. QEMU's docs/specs/pvpanic.
#ifndef KVMLET_DEVICES_PLATFORM_PVPANIC_H_
#define KVMLET_DEVICES_PLATFORM_PVPANIC_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/base/log_limiter.h"
#include "vmm/bus/guest_requests.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class Pvpanic : public IoDevice {
 public:
  static constexpr uint64_t kSize = 1;
  static constexpr uint8_t kPanicked = 1u << 0;
  static constexpr uint8_t kCrashLoaded = 1u << 1;

  explicit Pvpanic(GuestRequests& requests) : requests_(requests) {}

  std::string_view name() const override { return "pvpanic"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  GuestRequests& requests_;
  LogLimiter log_{"pvpanic"};
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_PVPANIC_H_
