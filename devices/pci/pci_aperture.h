// SPDX-License-Identifier: Apache-2.0
// The address windows through which the guest reaches BARs. BarMap knows which
// BAR lies where; a PciAperture is one window as an IoDevice for the bus. The
// guest may move BARs at any time: one that leaves the windows, or covers
// another, is simply not reachable.
//
// Threads: Set from one thread at a time (the root bus's lock); Read and Write
// from any. The map's own lock is never held while a device is called.
// Units are bytes.
#ifndef KVMLET_DEVICES_PCI_PCI_APERTURE_H_
#define KVMLET_DEVICES_PCI_PCI_APERTURE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string_view>
#include <vector>

#include "devices/pci/pci_device.h"
#include "vmm/bus/address_range.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::pci {

class BarMap {
 public:
  explicit BarMap(std::vector<AddressRange> windows)
      : windows_(std::move(windows)) {}

  struct Hit {
    PciDevice* device = nullptr;
    uint8_t bar = 0;
    uint64_t offset = 0;
  };
  // The BAR that holds the whole access.
  std::optional<Hit> Find(uint64_t address, uint64_t length) const;

  // Where a BAR wants to be; tells the devices concerned what became
  // reachable or stopped to be. Devices outlive the map's use.
  void Set(PciDevice& device, const BarSpec& bar,
           std::optional<uint64_t> address);

 private:
  struct Claim {
    PciDevice* device;
    uint8_t bar;
    AddressRange range;
    friend bool operator==(const Claim&, const Claim&) = default;
  };
  using Claims = std::vector<Claim>;
  void Rebuild();

  const std::vector<AddressRange> windows_;
  // In the order in which they were made: the older one wins an overlap.
  Claims claims_;
  mutable std::shared_mutex mutex_;
  Claims active_;  // sorted by address; guarded by mutex_
};

class PciAperture : public IoDevice {
 public:
  PciAperture(std::string_view name, AddressRange window, const BarMap& map)
      : name_(name), window_(window), map_(map) {}

  std::string_view name() const override { return name_; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;
  const AddressRange& window() const { return window_; }

 private:
  const std::string_view name_;
  const AddressRange window_;
  const BarMap& map_;
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_PCI_APERTURE_H_
