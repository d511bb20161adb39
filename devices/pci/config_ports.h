// SPDX-License-Identifier: Apache-2.0
// The configuration ports of a PC, 0xcf8 to 0xcff: an address register, a
// window of four bytes onto the register it names, and inside the first the
// reset control register at 0xcf9. Put on the port bus at 0xcf8, size 8.
//
// Threads: thread-safe. Units are bytes.
// Specification: PCI Local Bus 3.0, section 3.2.2.3.2 (mechanism #1).
#ifndef KVMLET_DEVICES_PCI_CONFIG_PORTS_H_
#define KVMLET_DEVICES_PCI_CONFIG_PORTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "devices/pci/pci_root.h"
#include "vmm/bus/guest_requests.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::pci {

class ConfigPorts : public IoDevice {
 public:
  static constexpr uint64_t kSize = 8;

  ConfigPorts(PciRoot& root, GuestRequests& requests)
      : root_(root), requests_(requests) {}

  std::string_view name() const override { return "pci-config-ports"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;
  // Machine reset.
  void Reset();

 private:
  void WriteResetControl(uint8_t value);

  PciRoot& root_;
  GuestRequests& requests_;
  std::atomic<uint32_t> address_{0};
  std::atomic<uint8_t> reset_control_{0};
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_CONFIG_PORTS_H_
