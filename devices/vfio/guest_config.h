// SPDX-License-Identifier: Apache-2.0
// The configuration space that the guest sees of a passed-through function:
// which bytes are the device's own and which the monitor answers. Base address
// registers, message-signalled interrupts and both capability chains are the
// monitor's; what only the host may use (SR-IOV, ARI, ATS, PRI, PASID,
// resizable BARs) is not there, and its place reads as zero.
//
// Threads: not thread-safe. Offsets are bytes; any offset and width is safe.
// Specification: PCI Local Bus 3.0, chapter 6; PCI Express Base 4.0, 7.5
// to 7.9.
#ifndef KVMLET_DEVICES_VFIO_GUEST_CONFIG_H_
#define KVMLET_DEVICES_VFIO_GUEST_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "devices/pci/pci_device.h"

namespace kvmlet::vfio {

class GuestConfig {
 public:
  // `raw` is what the device answers, 256 or 4096 bytes; fewer are filled up.
  explicit GuestConfig(std::span<const std::byte> raw);

  // Where the capabilities are that need more than the chain; 0 for none.
  uint16_t power_management() const { return power_management_; }
  uint16_t msi() const { return msi_; }
  uint16_t msix() const { return msix_; }

  // Puts the monitor's bytes over what the device answered.
  void Overlay(uint16_t offset, std::span<std::byte> data) const;
  // Takes the bits that the guest may write into the monitor's bytes, and
  // hands every run of the device's own bytes to `pass`.
  using Pass = std::function<void(uint16_t, std::span<const std::byte>)>;
  void Write(uint16_t offset, std::span<const std::byte> data,
             const Pass& pass);

  uint64_t Get(uint16_t offset, size_t bytes) const;
  // Makes a BAR's register the monitor's: type bits, and which are writable.
  void AddBar(const pci::BarSpec& bar);
  void SetBar(const pci::BarSpec& bar, uint64_t address);
  uint64_t BarAddress(const pci::BarSpec& bar) const;
  // Whether the guest has switched the expansion ROM on.
  bool RomEnabled() const;

  // The state to come back to at a reset of the machine.
  void Seal() { initial_ = values_; }
  void Restore() { values_ = initial_; }

 private:
  void Own(size_t at, size_t bytes);  // the monitor's, as the device has it
  void Set(size_t at, uint64_t value, size_t bytes);  // the monitor's
  void Allow(size_t at, uint64_t mask, size_t bytes);
  void FilterHeader();
  void FilterCapabilities();
  void FilterExtended();
  void AddCapability(uint16_t at);
  void AddExpress(uint16_t at);
  void AddMsi(uint16_t at);
  void Hide(size_t at, std::span<const uint16_t> starts, size_t end);

  std::vector<uint8_t> values_;
  std::vector<uint8_t> writable_;
  std::vector<bool> ours_;
  std::vector<uint8_t> initial_;
  uint16_t power_management_ = 0;
  uint16_t msi_ = 0;
  uint16_t msix_ = 0;
};

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_GUEST_CONFIG_H_
