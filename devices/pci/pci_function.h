// SPDX-License-Identifier: Apache-2.0
// A PCI function that the monitor makes up: type 0 configuration header, BAR
// registers, INTx pin and, when asked for, MSI-X in one of its BARs. A
// subclass adds capabilities and answers what lies in the BARs beside MSI-X.
//
// Threads: as PciDevice says; SetIntx and the members of msix() from any.
// Specification: PCI Local Bus 3.0, chapter 6.
#ifndef KVMLET_DEVICES_PCI_PCI_FUNCTION_H_
#define KVMLET_DEVICES_PCI_PCI_FUNCTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "devices/pci/config_space.h"
#include "devices/pci/intx.h"
#include "devices/pci/msix.h"
#include "devices/pci/pci_device.h"

namespace kvmlet::pci {

class PciFunction : public PciDevice {
 public:
  uint8_t interrupt_pin() const override;
  absl::Status Attach(PciSlot slot) override;
  std::span<const BarSpec> bars() const override { return bars_; }
  void PlaceBars(std::span<const uint64_t> addresses) override;
  void ReadConfig(uint16_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint16_t offset, std::span<const std::byte> data) override;
  std::optional<uint64_t> DecodedBar(uint8_t index) const override;
  void ReadBar(uint8_t index, uint64_t offset,
               std::span<std::byte> data) override;
  void WriteBar(uint8_t index, uint64_t offset,
                std::span<const std::byte> data) override;
  void OnBarMapped(uint8_t, uint64_t) override {}
  void OnBarUnmapped(uint8_t) override {}
  void Reset() override;

 protected:
  explicit PciFunction(const ConfigHeader& header) : config_(header) {}

  // Before Attach.
  void AddBar(const BarSpec& spec);
  // In Attach: the capability and its vectors. Table and pending bits lie at
  // these offsets of the BAR, at multiples of 8, beside all registers.
  absl::Status AddMsix(uint16_t vectors, uint8_t bar, uint32_t table_offset,
                       uint32_t pba_offset);

  // The rest of the BARs; ones and nothing unless overridden.
  virtual void ReadRegister(uint8_t bar, uint64_t offset,
                            std::span<std::byte> data);
  virtual void WriteRegister(uint8_t bar, uint64_t offset,
                             std::span<const std::byte> data);

  ConfigSpace& config() { return config_; }
  Msix* msix() { return msix_.get(); }  // null without MSI-X
  bool MsixEnabled() const { return msix_ != nullptr && msix_->Enabled(); }
  void SetIntx(bool asserted) { intx_.Set(asserted); }
  const PciSlot& slot() const { return slot_; }
  const BarSpec* FindBar(uint8_t index) const;

 private:
  void ApplyControls();

  ConfigSpace config_;
  PciSlot slot_;
  IntxPin intx_;
  std::vector<BarSpec> bars_;
  std::unique_ptr<Msix> msix_;
  uint16_t msix_capability_ = 0;
  uint8_t msix_bar_ = 0;
  uint32_t msix_table_ = 0;
  uint32_t msix_pba_ = 0;
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_PCI_FUNCTION_H_
