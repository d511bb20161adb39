// SPDX-License-Identifier: Apache-2.0
// The registers through which a guest's ACPI code learns which slots of the
// root bus changed, and gives slots up. Each register is 32 bits wide, one bit
// a slot; the methods that use them are in arch/common/acpi_hotplug.h. What
// the guest gives up goes to GuestRequests, for slots it was told of only.
//
// Threads: any. No unit but slots (0 to 31). ACPI 6.3, 6.3 "Device Insertion,
// Removal, and Status Objects".
#ifndef KVMLET_DEVICES_PLATFORM_PCI_HOTPLUG_H_
#define KVMLET_DEVICES_PLATFORM_PCI_HOTPLUG_H_

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/bus/guest_requests.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class PciHotplug : public IoDevice {
 public:
  // Reading one of the first two clears it; the third is written.
  static constexpr uint64_t kPlugged = 0x00;
  static constexpr uint64_t kAsked = 0x04;
  static constexpr uint64_t kEject = 0x08;
  static constexpr uint64_t kSize = 0x0c;

  explicit PciHotplug(GuestRequests& requests) : requests_(requests) {}

  // The slots that the guest's ACPI code knows, from its start to its end.
  void SetSlots(uint32_t slots) { slots_ = slots; }
  uint32_t slots() const { return slots_; }
  // A device came into the slot, or the guest shall give the slot up. The
  // guest looks when it is interrupted.
  void Plug(uint8_t slot) {
    asked_ &= ~(1u << slot);  // that was the one before
    plugged_ |= 1u << slot;
  }
  void Ask(uint8_t slot) { asked_ |= 1u << slot; }
  // Back to the state at power-on.
  void Reset() { plugged_ = asked_ = 0; }

  std::string_view name() const override { return "pci-hotplug"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  GuestRequests& requests_;
  std::atomic<uint32_t> slots_ = 0;
  std::atomic<uint32_t> plugged_ = 0;
  std::atomic<uint32_t> asked_ = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_PCI_HOTPLUG_H_
