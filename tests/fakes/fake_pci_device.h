// SPDX-License-Identifier: Apache-2.0
// A PCI function for tests of the root bus: BARs of the test's choice whose
// registers remember the last write, and a record of where they were mapped.
// Not thread-safe.
#ifndef KVMLET_TESTS_FAKES_FAKE_PCI_DEVICE_H_
#define KVMLET_TESTS_FAKES_FAKE_PCI_DEVICE_H_

#include <cstdint>
#include <map>
#include <vector>

#include "devices/pci/pci_function.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::fakes {

class FakePciDevice : public pci::PciFunction {
 public:
  explicit FakePciDevice(std::vector<pci::BarSpec> bars = {{.index = 0,
                                                            .size = 0x1000}},
                         uint16_t vectors = 0)
      : PciFunction({.vendor_id = 0x1234,
                     .device_id = 0x5678,
                     .revision = 2,
                     .interrupt_pin = 1}),
        vectors_(vectors) {
    for (const pci::BarSpec& bar : bars) AddBar(bar);
  }

  std::string_view name() const override { return "pci-fake"; }
  absl::Status Attach(pci::PciSlot slot) override {
    const absl::Status status = PciFunction::Attach(std::move(slot));
    if (!status.ok() || vectors_ == 0) return status;
    return AddMsix(vectors_, 0, 0x0, 0x800);
  }
  void OnBarMapped(uint8_t index, uint64_t address) override {
    mapped[index] = address;
  }
  void OnBarUnmapped(uint8_t index) override { mapped.erase(index); }
  using PciFunction::msix;
  using PciFunction::SetIntx;

  std::map<uint8_t, uint64_t> mapped;
  uint64_t last_offset = 0;
  uint64_t last_value = 0;
  uint8_t last_bar = 0xff;

 protected:
  void ReadRegister(uint8_t bar, uint64_t offset,
                    std::span<std::byte> data) override {
    StoreLe(bar * 0x10000u + offset, data);
  }
  void WriteRegister(uint8_t bar, uint64_t offset,
                     std::span<const std::byte> data) override {
    last_bar = bar;
    last_offset = offset;
    last_value = LoadLe(data);
  }

 private:
  const uint16_t vectors_;
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_PCI_DEVICE_H_
