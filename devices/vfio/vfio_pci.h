// SPDX-License-Identifier: Apache-2.0
// A passed-through PCI function on the guest's root bus: the device behind
// GuestConfig, MappedBar and Interrupts. The guest reaches its BARs and is
// interrupted without the monitor; what the monitor sees is configuration
// accesses, the MSI-X table and what cannot be mapped.
//
// Threads: as PciDevice says; Detach from any thread. A detached device reads
// as ones. Specification: PCI Local Bus 3.0, chapter 6; Linux,
// Documentation/driver-api/vfio.rst.
#ifndef KVMLET_DEVICES_VFIO_VFIO_PCI_H_
#define KVMLET_DEVICES_VFIO_VFIO_PCI_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/pci/msi.h"
#include "devices/pci/msix.h"
#include "devices/pci/pci_device.h"
#include "devices/pci/spec.h"
#include "devices/vfio/guest_config.h"
#include "devices/vfio/host_device.h"
#include "devices/vfio/interrupts.h"
#include "devices/vfio/mapped_bar.h"
#include "devices/vfio/rom.h"
#include "vmm/base/log_limiter.h"
#include "vmm/bus/guest_mapper.h"

namespace kvmlet::vfio {

class VfioPci : public pci::PciDevice {
 public:
  static absl::StatusOr<std::unique_ptr<VfioPci>> Create(
      std::unique_ptr<HostDevice> device, GuestMapper& mapper,
      const RomSource& rom);
  ~VfioPci() override;

  std::string_view name() const override { return name_; }
  uint8_t interrupt_pin() const override;
  absl::Status Attach(pci::PciSlot slot) override;
  std::span<const pci::BarSpec> bars() const override { return bars_; }
  void PlaceBars(std::span<const uint64_t> addresses) override;
  void ReadConfig(uint16_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint16_t offset, std::span<const std::byte> data) override;
  std::optional<uint64_t> DecodedBar(uint8_t index) const override;
  void ReadBar(uint8_t index, uint64_t offset,
               std::span<std::byte> data) override;
  void WriteBar(uint8_t index, uint64_t offset,
                std::span<const std::byte> data) override;
  void OnBarMapped(uint8_t index, uint64_t address) override;
  void OnBarUnmapped(uint8_t index) override;
  void Reset() override;

  // Lets go of the host's device; the guest finds nothing behind its
  // addresses any more. Idempotent.
  void Detach();
  // The guest touched a BAR and the host could not reach the device: from now
  // on it is reached through the monitor, which answers what the device no
  // longer does. True when there was something to take away.
  bool TrapBars();

 private:
  struct Msix {
    uint8_t bar = 0;
    uint64_t table = 0;
    uint64_t pba = 0;
    uint16_t vectors = 0;
  };
  VfioPci(std::unique_ptr<HostDevice> device, GuestMapper& mapper,
          std::span<const std::byte> raw);
  absl::Status FindBars(std::span<const std::byte> raw);
  absl::Status FindMsix();
  absl::Status MapBars();
  absl::Status FindRom(const RomSource& source);
  const pci::BarSpec* FindBar(uint8_t index) const;
  std::vector<Area> MsixAreas(uint8_t bar) const;

  void Start();
  void PassWrite(uint16_t offset, std::span<const std::byte> data);
  void ReadControls();
  void ApplyInterrupts();
  pci::MsiRegisters ReadMsi() const;
  void ArmMsix(uint32_t first, uint32_t count);
  void HideBars();
  // Brings back what HideBars took away, where the device decodes it still.
  void ShowBars();
  bool InMsix(uint8_t index, uint64_t offset) const;

  const std::string name_;
  LogLimiter log_;
  GuestMapper& mapper_;
  // Held shared by every access, alone by Detach.
  mutable std::shared_mutex life_;
  std::unique_ptr<HostDevice> device_;  // null when detached
  GuestConfig config_;
  std::vector<pci::BarSpec> bars_;
  std::unique_ptr<Rom> rom_;  // null without one
  std::optional<Msix> msix_place_;
  uint16_t command_ = 0;  // as the device has it
  uint8_t power_state_ = 0;
  struct Bar {
    std::unique_ptr<MappedBar> mapped;
    std::optional<uint64_t> address;  // where the bus lets the guest reach it
  };
  std::array<Bar, pci::kMaxBars> places_;
  std::unique_ptr<pci::Msix> msix_;
  std::unique_ptr<pci::Msi> msi_;
  std::unique_ptr<Interrupts> interrupts_;  // Last: silent before the rest.
};

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_VFIO_PCI_H_
