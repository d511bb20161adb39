// SPDX-License-Identifier: Apache-2.0
// The ACPI generic event device: one level interrupt and a block of MMIO
// registers through which the monitor tells the guest of events (power button)
// and the guest asks for sleep (S5) and reset. All members may be called from
// any thread; ACPI 6.3, 4.8.3.7 "Sleep Control and Status Registers", 4.8.3.6
// "Reset Register", 5.6.9 "Interrupt-signaled ACPI events".
#ifndef KVMLET_DEVICES_PLATFORM_ACPI_GED_H_
#define KVMLET_DEVICES_PLATFORM_ACPI_GED_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "vmm/base/log_limiter.h"
#include "vmm/bus/guest_requests.h"
#include "vmm/bus/interrupts.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class AcpiGed : public IoDevice {
 public:
  // Registers, as offsets into the block. The selector is 32 bits wide and
  // tells which events happened; reading clears it. The others are bytes.
  static constexpr uint64_t kEventSelector = 0x00;
  static constexpr uint64_t kSleepControl = 0x10;
  static constexpr uint64_t kSleepStatus = 0x11;
  static constexpr uint64_t kReset = 0x12;

  // Bits of the selector.
  static constexpr uint32_t kPowerButtonEvent = 1u << 0;
  // PCI slots that PciHotplug names changed; a device left without a word.
  static constexpr uint32_t kPciSlotEvent = 1u << 1;
  static constexpr uint32_t kPciGoneEvent = 1u << 2;
  // An error source has a record.
  static constexpr uint32_t kHardwareErrorEvent = 1u << 3;

  // What the DSDT's \_S5 and the FADT announce.
  static constexpr uint8_t kSleepTypeS5 = 5;
  static constexpr uint8_t kResetValue = 1;

  AcpiGed(std::unique_ptr<IrqLine> interrupt, GuestRequests& requests);

  void PressPowerButton() { Raise(kPowerButtonEvent); }
  // Sets bits of the selector and interrupts the guest.
  void Raise(uint32_t events);
  // Back to the state at power-on.
  void Reset();

  std::string_view name() const override { return "acpi-ged"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  uint32_t TakeEvents();
  void Sleep(uint8_t control);

  const std::unique_ptr<IrqLine> interrupt_;
  GuestRequests& requests_;
  std::atomic<uint32_t> events_ = 0;
  LogLimiter log_{"acpi-ged"};
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_ACPI_GED_H_
