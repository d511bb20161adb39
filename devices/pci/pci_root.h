// SPDX-License-Identifier: Apache-2.0
// The one PCI root bus: it owns the functions, assigns their BARs and
// interrupts as they come, and gives the guest configuration accesses (ECAM,
// and what ConfigPorts adds) and the BAR windows.
//
// Threads: Create and AddTo while the machine is built; everything else from
// any thread, Remove and Reset while no vCPU runs. Its lock serialises
// configuration accesses and is held while a function's configuration members
// are called; BAR accesses take no lock of the root's.
// Specification: PCI Express Base 4.0, section 7.2.2 (ECAM).
#ifndef KVMLET_DEVICES_PCI_PCI_ROOT_H_
#define KVMLET_DEVICES_PCI_PCI_ROOT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/pci/bar_allocator.h"
#include "devices/pci/intx.h"
#include "devices/pci/pci_aperture.h"
#include "devices/pci/pci_device.h"
#include "devices/pci/spec.h"
#include "vmm/bus/address_range.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/doorbell.h"
#include "vmm/bus/interrupts.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::pci {

struct PciWindows {
  AddressRange ecam;
  AddressRange mmio32;
  AddressRange mmio64;
};

class PciRoot {
 public:
  // The global system interrupt of a slot (0 to 31) and pin (1 is INTA#);
  // several may share one.
  using IntxRouting = std::function<uint32_t(uint32_t slot, uint32_t pin)>;

  // A bit each, but the host bridge's.
  static constexpr uint32_t kAllSlots = ~uint32_t{1};

  // With the host bridge at 00:00.0. `interrupts` and `doorbells` outlive it.
  static absl::StatusOr<std::unique_ptr<PciRoot>> Create(
      const PciWindows& windows, InterruptRouter& interrupts,
      DoorbellRegistry& doorbells, IntxRouting routing);

  PciRoot(const PciRoot&) = delete;
  PciRoot& operator=(const PciRoot&) = delete;

  // Puts a function on the bus and keeps it: at the address asked for, else
  // at function 0 of the first free slot. Returns where it is.
  absl::StatusOr<PciAddress> Add(std::unique_ptr<PciDevice> device,
                                 std::optional<PciAddress> at = std::nullopt);
  // The same for a function that may leave again, alone in its slot: one of
  // these, a bit each. On an error the caller has it still.
  absl::StatusOr<PciAddress> AddRemovable(std::unique_ptr<PciDevice>&& device,
                                          uint32_t slots = kAllSlots);
  // Takes such a function off the bus, and its place becomes free. No vCPU
  // runs: one may be in a call of the function otherwise.
  std::unique_ptr<PciDevice> Remove(PciAddress address);
  // The slots with a function that may leave, and the first `spare` free ones.
  uint32_t HotplugSlots(uint32_t spare) const;
  // Adds ECAM and both BAR windows to the MMIO bus.
  absl::Status AddTo(Bus& mmio);

  // A guest's configuration access; a missing function or an access beyond
  // its 4 KiB reads as ones.
  void ReadConfig(uint32_t bus, PciAddress address, uint32_t offset,
                  std::span<std::byte> data);
  void WriteConfig(uint32_t bus, PciAddress address, uint32_t offset,
                   std::span<const std::byte> data);

  // Machine reset: every function back to where Add left it. No vCPU runs.
  void Reset();

  const PciWindows& windows() const { return windows_; }
  IoDevice& ecam() { return *ecam_; }
  IoDevice& aperture32() { return aperture32_; }
  IoDevice& aperture64() { return aperture64_; }
  // Null when there is none. Functions live as long as the root, or until they
  // are removed.
  PciDevice* Find(PciAddress address);

 private:
  PciRoot(const PciWindows& windows, InterruptRouter& interrupts,
          DoorbellRegistry& doorbells, IntxRouting routing);
  std::unique_ptr<PciDevice>& At(PciAddress address) {
    return functions_[address.requester_id()];
  }
  const PciDevice* At(PciAddress address) const {
    return functions_[address.requester_id()].get();
  }
  absl::StatusOr<PciAddress> AddLocked(std::unique_ptr<PciDevice>&& device,
                                       PciAddress address);
  bool IsFree(uint8_t slot) const;
  absl::StatusOr<PciAddress> ChooseSlot(uint32_t slots) const;
  absl::StatusOr<std::unique_ptr<IrqLine>> MakePin(uint32_t number);
  absl::StatusOr<std::vector<uint64_t>> AllocateBars(const PciDevice& device);
  void FreeBars(const std::vector<uint64_t>& addresses);
  bool IsMultiFunction(uint8_t device) const;
  void SyncBars(PciDevice& device);

  const PciWindows windows_;
  InterruptRouter& interrupts_;
  DoorbellRegistry& doorbells_;
  const IntxRouting routing_;
  BarAllocator space32_;
  BarAllocator space64_;
  BarMap map_;
  PciAperture aperture32_;
  PciAperture aperture64_;
  std::unique_ptr<IoDevice> ecam_;
  std::map<uint32_t, std::unique_ptr<SharedLine>> lines_;  // by number
  mutable std::mutex mutex_;
  uint32_t removable_ = 0;  // slots; guarded by mutex_
  // Where BARs were placed, by requester id; guarded by mutex_.
  std::map<uint32_t, std::vector<uint64_t>> placed_;
  // By requester id. After the lines: a function lowers its pin as it dies.
  std::array<std::unique_ptr<PciDevice>, kMaxDevices * kMaxFunctions>
      functions_;  // guarded by mutex_
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_PCI_ROOT_H_
