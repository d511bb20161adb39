// SPDX-License-Identifier: Apache-2.0
// What a PCI function is to its root bus: configuration registers, BARs and
// what lies behind them. PciFunction implements it for functions that the
// monitor makes up; a passed-through device implements it over the real one.
//
// Threads: ReadConfig, WriteConfig, DecodedBar, OnBarMapped, OnBarUnmapped and
// Reset are called one at a time, under the root bus's lock; ReadBar and
// WriteBar by several vCPU threads at once. Offsets and sizes are bytes; an
// access never reaches beyond the function's 4 KiB or the BAR. A function
// never calls the root bus.
#ifndef KVMLET_DEVICES_PCI_PCI_DEVICE_H_
#define KVMLET_DEVICES_PCI_PCI_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "vmm/bus/doorbell.h"
#include "vmm/bus/interrupts.h"

namespace kvmlet::pci {

// A place on the root bus.
struct PciAddress {
  uint8_t device = 0;    // 0 to 31
  uint8_t function = 0;  // 0 to 7

  // Bus 0, device and function as messages and tables carry them.
  uint32_t requester_id() const { return uint32_t{device} << 3 | function; }
  friend bool operator==(const PciAddress&, const PciAddress&) = default;
};

// One memory BAR, or the expansion ROM (kRomBar). The size is a power of two,
// at least 16; the root bus places it at a multiple of its size.
struct BarSpec {
  uint8_t index = 0;  // a 64-bit one takes index + 1 as well
  uint64_t size = 0;
  bool is_64bit = false;
  bool prefetchable = false;
};

// What a function is handed when it is put on the bus; the references outlive
// it.
struct PciSlot {
  PciAddress address;
  InterruptRouter* interrupts = nullptr;
  DoorbellRegistry* doorbells = nullptr;
  std::unique_ptr<IrqLine> intx;  // null for a function without a pin
  uint32_t intx_number = 0;       // its global system interrupt
};

class PciDevice {
 public:
  virtual ~PciDevice() = default;
  virtual std::string_view name() const = 0;

  // As it is put on the bus, in this order.
  virtual uint8_t interrupt_pin() const = 0;  // 1 is INTA#, 0 none
  virtual absl::Status Attach(PciSlot slot) = 0;
  virtual std::span<const BarSpec> bars() const = 0;
  // Addresses for bars(), one each; the function decodes them from now on, as
  // firmware would leave it, and comes back to this state at Reset.
  virtual void PlaceBars(std::span<const uint64_t> addresses) = 0;

  virtual void ReadConfig(uint16_t offset, std::span<std::byte> data) = 0;
  virtual void WriteConfig(uint16_t offset,
                           std::span<const std::byte> data) = 0;
  // Where the guest has put a BAR; nothing while the function does not answer
  // there. Asked after every WriteConfig and Reset.
  virtual std::optional<uint64_t> DecodedBar(uint8_t index) const = 0;

  virtual void ReadBar(uint8_t index, uint64_t offset,
                       std::span<std::byte> data) = 0;
  virtual void WriteBar(uint8_t index, uint64_t offset,
                        std::span<const std::byte> data) = 0;
  // The BAR can be reached at this address from now on, or no more: where a
  // function attaches doorbells or maps memory into the guest. A BAR whose
  // address is outside the bus's windows or taken is never mapped.
  virtual void OnBarMapped(uint8_t index, uint64_t address) = 0;
  virtual void OnBarUnmapped(uint8_t index) = 0;

  // Machine reset: the state after PlaceBars.
  virtual void Reset() = 0;
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_PCI_DEVICE_H_
