// SPDX-License-Identifier: Apache-2.0
// What is left of the PC's keyboard controller: the command that pulses the
// reset line. It has no keyboard and no mouse, its buffers are always empty,
// and the FADT says that it is absent; it covers the ports from 0x60 to 0x64.
// Thread-safe.
#ifndef KVMLET_DEVICES_PLATFORM_I8042_H_
#define KVMLET_DEVICES_PLATFORM_I8042_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/bus/guest_requests.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class I8042 : public IoDevice {
 public:
  static constexpr uint64_t kSize = 5;
  static constexpr uint64_t kData = 0;
  static constexpr uint64_t kCommand = 4;

  explicit I8042(GuestRequests& requests) : requests_(requests) {}

  std::string_view name() const override { return "i8042"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  GuestRequests& requests_;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_I8042_H_
