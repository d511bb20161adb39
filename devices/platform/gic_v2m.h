// SPDX-License-Identifier: Apache-2.0
// A GICv2m frame: turns message-signalled interrupts into shared peripheral
// interrupts where the host's interrupt controller has no ITS. Devices' MSIs
// do not come here, they are routed in the kernel; this answers the driver's
// reads and a guest that writes the doorbell itself. Thread-safe.
// Specification: Arm Server Base System Architecture, appendix "GICv2m".
#ifndef KVMLET_DEVICES_PLATFORM_GIC_V2M_H_
#define KVMLET_DEVICES_PLATFORM_GIC_V2M_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

#include "vmm/bus/io_device.h"

namespace kvmlet {

class GicV2m : public IoDevice {
 public:
  static constexpr uint64_t kSize = 0x1000;
  static constexpr uint64_t kTyper = 0x008;
  // An MSI's address; its data is the interrupt's number.
  static constexpr uint64_t kSetSpi = 0x040;
  static constexpr uint64_t kIidr = 0xfcc;

  // The interrupts [first, first + count), as the interrupt controller numbers
  // them; `pulse` takes one of them, on any thread.
  struct Options {
    uint32_t first = 0;
    uint32_t count = 0;
    std::function<void(uint32_t)> pulse;
  };
  explicit GicV2m(Options options) : options_(std::move(options)) {}

  bool Owns(uint32_t interrupt) const {
    return interrupt >= options_.first &&
           interrupt - options_.first < options_.count;
  }

  std::string_view name() const override { return "gic-v2m"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  const Options options_;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_GIC_V2M_H_
