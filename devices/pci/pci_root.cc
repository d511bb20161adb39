// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_root.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "devices/pci/host_bridge.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::pci {
namespace {

// Section 7.2.2: the address holds bus, device, function and register.
class Ecam : public IoDevice {
 public:
  explicit Ecam(PciRoot& root) : root_(root) {}
  std::string_view name() const override { return "pci-ecam"; }
  void Read(uint64_t offset, std::span<std::byte> data) override {
    root_.ReadConfig(BusOf(offset), AddressOf(offset), RegisterOf(offset),
                     data);
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    root_.WriteConfig(BusOf(offset), AddressOf(offset), RegisterOf(offset),
                      data);
  }

 private:
  static uint32_t BusOf(uint64_t offset) {
    return static_cast<uint32_t>(offset >> 20);
  }
  static PciAddress AddressOf(uint64_t offset) {
    return {static_cast<uint8_t>((offset >> 15) & 0x1f),
            static_cast<uint8_t>((offset >> 12) & 0x7)};
  }
  static uint32_t RegisterOf(uint64_t offset) { return offset & 0xfff; }

  PciRoot& root_;
};

bool FitsConfig(uint32_t offset, size_t length) {
  return offset < kExtendedConfigSize && length <= kExtendedConfigSize - offset;
}

}  // namespace

PciRoot::PciRoot(const PciWindows& windows, InterruptRouter& interrupts,
                 DoorbellRegistry& doorbells, IntxRouting routing)
    : windows_(windows),
      interrupts_(interrupts),
      doorbells_(doorbells),
      routing_(std::move(routing)),
      space32_(windows.mmio32),
      space64_(windows.mmio64),
      map_({windows.mmio32, windows.mmio64}),
      aperture32_("pci-mmio32", windows.mmio32, map_),
      aperture64_("pci-mmio64", windows.mmio64, map_),
      ecam_(std::make_unique<Ecam>(*this)) {}

absl::StatusOr<std::unique_ptr<PciRoot>> PciRoot::Create(
    const PciWindows& windows, InterruptRouter& interrupts,
    DoorbellRegistry& doorbells, IntxRouting routing) {
  std::unique_ptr<PciRoot> root(
      new PciRoot(windows, interrupts, doorbells, std::move(routing)));
  KVMLET_RETURN_IF_ERROR(
      root->Add(std::make_unique<HostBridge>(), PciAddress{0, 0}).status());
  return root;
}

absl::Status PciRoot::AddTo(Bus& mmio) {
  KVMLET_RETURN_IF_ERROR(mmio.Add(windows_.ecam, *ecam_));
  KVMLET_RETURN_IF_ERROR(mmio.Add(windows_.mmio32, aperture32_));
  return mmio.Add(windows_.mmio64, aperture64_);
}

bool PciRoot::IsFree(uint8_t slot) const {
  return At({slot, 0}) == nullptr && !IsMultiFunction(slot);
}

absl::StatusOr<PciAddress> PciRoot::ChooseSlot(uint32_t slots) const {
  for (uint8_t slot = 0; slot < kMaxDevices; ++slot) {
    if ((slots >> slot & 1) != 0 && IsFree(slot)) return PciAddress{slot, 0};
  }
  if (slots == kAllSlots) {
    return absl::ResourceExhaustedError(
        "all 31 PCI slots are in use: give fewer device flags");
  }
  return absl::ResourceExhaustedError(
      "all PCI slots that the guest knows as places for new devices are in "
      "use: remove a device, or restart the guest");
}

absl::StatusOr<std::unique_ptr<IrqLine>> PciRoot::MakePin(uint32_t number) {
  std::unique_ptr<SharedLine>& shared = lines_[number];
  if (shared == nullptr) {
    KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<IrqLine> line,
                            interrupts_.CreateLine(number));
    shared = std::make_unique<SharedLine>(std::move(line));
  }
  return shared->AddPin();
}

absl::StatusOr<std::vector<uint64_t>> PciRoot::AllocateBars(
    const PciDevice& device) {
  std::vector<uint64_t> addresses;
  for (const BarSpec& bar : device.bars()) {
    std::optional<uint64_t> address;
    if (bar.is_64bit) address = space64_.Allocate(bar.size);
    if (!address) address = space32_.Allocate(bar.size);
    if (!address) {
      FreeBars(addresses);
      return absl::ResourceExhaustedError(absl::StrFormat(
          "%s: no room for a %u KiB BAR in the PCI address windows",
          std::string(device.name()), bar.size >> 10));
    }
    addresses.push_back(*address);
  }
  return addresses;
}

// The windows do not overlap: an address is in one of them.
void PciRoot::FreeBars(const std::vector<uint64_t>& addresses) {
  for (const uint64_t address : addresses) {
    space32_.Free(address);
    space64_.Free(address);
  }
}

absl::StatusOr<PciAddress> PciRoot::Add(std::unique_ptr<PciDevice> device,
                                        std::optional<PciAddress> at) {
  const std::lock_guard lock(mutex_);
  if (!at) {
    KVMLET_ASSIGN_OR_RETURN(at, ChooseSlot(kAllSlots));
  }
  CHECK(at->device < kMaxDevices && at->function < kMaxFunctions);
  if (At(*at) != nullptr) {
    return absl::AlreadyExistsError(absl::StrFormat(
        "PCI address 00:%02x.%u is taken", at->device, at->function));
  }
  return AddLocked(std::move(device), *at);
}

absl::StatusOr<PciAddress> PciRoot::AddRemovable(
    std::unique_ptr<PciDevice>&& device, uint32_t slots) {
  const std::lock_guard lock(mutex_);
  KVMLET_ASSIGN_OR_RETURN(const PciAddress address, ChooseSlot(slots));
  KVMLET_RETURN_IF_ERROR(AddLocked(std::move(device), address).status());
  removable_ |= 1u << address.device;
  return address;
}

absl::StatusOr<PciAddress> PciRoot::AddLocked(
    std::unique_ptr<PciDevice>&& device, PciAddress address) {
  PciSlot slot{.address = address,
               .interrupts = &interrupts_,
               .doorbells = &doorbells_,
               .intx = nullptr,
               .intx_number = 0};
  if (const uint8_t pin = device->interrupt_pin(); pin != 0) {
    slot.intx_number = routing_(address.device, pin);
    KVMLET_ASSIGN_OR_RETURN(slot.intx, MakePin(slot.intx_number));
  }
  KVMLET_RETURN_IF_ERROR(device->Attach(std::move(slot)));
  KVMLET_ASSIGN_OR_RETURN(std::vector<uint64_t> addresses,
                          AllocateBars(*device));
  device->PlaceBars(addresses);
  placed_[address.requester_id()] = std::move(addresses);
  At(address) = std::move(device);
  SyncBars(*At(address));
  return address;
}

std::unique_ptr<PciDevice> PciRoot::Remove(PciAddress address) {
  const std::lock_guard lock(mutex_);
  CHECK((removable_ >> address.device & 1) != 0 && address.function == 0);
  std::unique_ptr<PciDevice> device = std::move(At(address));
  for (const BarSpec& bar : device->bars()) {
    map_.Set(*device, bar, std::nullopt);
  }
  FreeBars(placed_[address.requester_id()]);
  placed_.erase(address.requester_id());
  removable_ &= ~(1u << address.device);
  return device;
}

uint32_t PciRoot::HotplugSlots(uint32_t spare) const {
  const std::lock_guard lock(mutex_);
  uint32_t slots = removable_;
  for (uint8_t slot = 1; slot < kMaxDevices && spare > 0; ++slot) {
    if (!IsFree(slot)) continue;
    slots |= 1u << slot;
    --spare;
  }
  return slots;
}

PciDevice* PciRoot::Find(PciAddress address) {
  const std::lock_guard lock(mutex_);
  return At(address).get();
}

bool PciRoot::IsMultiFunction(uint8_t device) const {
  for (uint8_t function = 1; function < kMaxFunctions; ++function) {
    if (At({device, function}) != nullptr) return true;
  }
  return false;
}

void PciRoot::ReadConfig(uint32_t bus, PciAddress address, uint32_t offset,
                         std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  PciDevice* device = bus == 0 ? At(address).get() : nullptr;
  if (device == nullptr || !FitsConfig(offset, data.size())) {
    FillOnes(data);
    return;
  }
  device->ReadConfig(static_cast<uint16_t>(offset), data);
  // Only the bus knows whether a function has siblings.
  const bool header_type =
      offset <= kHeaderType && kHeaderType - offset < data.size();
  if (header_type && address.function == 0 && IsMultiFunction(address.device)) {
    data[kHeaderType - offset] |= std::byte{kHeaderMultiFunction};
  }
}

void PciRoot::WriteConfig(uint32_t bus, PciAddress address, uint32_t offset,
                          std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  PciDevice* device = bus == 0 ? At(address).get() : nullptr;
  if (device == nullptr || !FitsConfig(offset, data.size())) return;
  device->WriteConfig(static_cast<uint16_t>(offset), data);
  SyncBars(*device);
}

void PciRoot::SyncBars(PciDevice& device) {
  for (const BarSpec& bar : device.bars()) {
    map_.Set(device, bar, device.DecodedBar(bar.index));
  }
}

void PciRoot::Reset() {
  const std::lock_guard lock(mutex_);
  for (const auto& device : functions_) {
    if (device != nullptr) device->Reset();
  }
  for (const auto& device : functions_) {
    if (device != nullptr) SyncBars(*device);
  }
}

}  // namespace kvmlet::pci
