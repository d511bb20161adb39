// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/vfio_pci.h"

#include <glog/logging.h>

#include <algorithm>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "devices/pci/spec.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::vfio {
namespace {

using pci::BarSpec;

constexpr uint64_t kPowerStateMask = 3;
constexpr uint16_t kPowerControl = 4;  // PMCSR, from the capability's start

bool Touches(uint16_t offset, size_t size, uint16_t first, uint16_t bytes) {
  return offset < first + bytes && first < offset + size;
}

}  // namespace

VfioPci::VfioPci(std::unique_ptr<HostDevice> device, GuestMapper& mapper,
                 std::span<const std::byte> raw)
    : name_(device->name()),
      log_(name_),
      mapper_(mapper),
      device_(std::move(device)),
      config_(raw) {}

VfioPci::~VfioPci() { VfioPci::Detach(); }

const BarSpec* VfioPci::FindBar(uint8_t index) const {
  const auto bar = std::ranges::find(bars_, index, &BarSpec::index);
  return bar == bars_.end() ? nullptr : &*bar;
}

uint8_t VfioPci::interrupt_pin() const {
  if (device_->irq(IrqIndex::kIntx).count == 0) return 0;
  const uint64_t pin = config_.Get(pci::kInterruptPin, 1);
  return pin >= 1 && pin <= 4 ? static_cast<uint8_t>(pin) : 0;
}

absl::Status VfioPci::Attach(pci::PciSlot slot) {
  const uint32_t id = slot.address.requester_id();
  interrupts_ = std::make_unique<Interrupts>(*device_);
  if (msix_place_) {
    KVMLET_ASSIGN_OR_RETURN(
        msix_, pci::Msix::Create(*slot.interrupts, msix_place_->vectors, id,
                                 name_, pci::Msix::Vectors::kLazy));
  }
  if (config_.msi() != 0) {
    msi_ = std::make_unique<pci::Msi>(*slot.interrupts, id, name_);
  }
  if (interrupt_pin() == 0) return absl::OkStatus();
  return interrupts_->ConnectIntx(*slot.interrupts, slot.intx_number);
}

void VfioPci::PlaceBars(std::span<const uint64_t> addresses) {
  CHECK_EQ(addresses.size(), bars_.size());
  for (size_t i = 0; i < bars_.size(); ++i) {
    config_.SetBar(bars_[i], addresses[i]);
  }
  config_.Seal();
  Start();
}

void VfioPci::Reset() {
  const std::shared_lock lock(life_);
  if (device_ == nullptr) return;
  HideBars();
  interrupts_->Disable();
  // No DMA from here on, whether it can be reset or not.
  const std::array<std::byte, 2> off{};
  device_->WriteConfig(pci::kCommand, off);
  if (const absl::Status status = device_->Reset(); !status.ok()) {
    LOG(WARNING) << status.message();
  }
  config_.Restore();
  if (msix_ != nullptr) msix_->Reset();
  if (msi_ != nullptr) msi_->Reset();
  Start();
}

// The device as firmware would leave it.
void VfioPci::Start() {
  std::array<std::byte, 2> command{};
  StoreLe(bars_.empty() ? 0 : pci::kCommandMemory, command);
  device_->WriteConfig(pci::kCommand, command);
  ReadControls();
  ShowBars();
  ApplyInterrupts();
}

void VfioPci::ReadConfig(uint16_t offset, std::span<std::byte> data) {
  const std::shared_lock lock(life_);
  FillOnes(data);
  if (device_ == nullptr) return;
  device_->ReadConfig(offset, data);
  config_.Overlay(offset, data);
  const uint16_t msi = config_.msi();
  if (msi == 0 || (config_.Get(static_cast<uint16_t>(msi + 2), 2) & 0x100) == 0)
    return;
  const bool wide =
      (config_.Get(static_cast<uint16_t>(msi + 2), 2) & 0x80) != 0;
  const auto pending = static_cast<uint16_t>(msi + (wide ? 20 : 16));
  if (!Touches(offset, data.size(), pending, 4)) return;
  const uint32_t bits = msi_->Pending();
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t at = offset + i;
    if (at < pending || at >= pending + 4u) continue;
    data[i] = static_cast<std::byte>(bits >> (8 * (at - pending)));
  }
}

// What the device decodes and whether it is powered, for DecodedBar.
void VfioPci::ReadControls() {
  std::array<std::byte, 2> word{};
  device_->ReadConfig(pci::kCommand, word);
  command_ = static_cast<uint16_t>(LoadLe(word));
  power_state_ = 0;
  if (const uint16_t pm = config_.power_management(); pm != 0) {
    device_->ReadConfig(pm + kPowerControl, word);
    power_state_ = static_cast<uint8_t>(LoadLe(word) & kPowerStateMask);
  }
}

// A write that may switch the BARs off: they leave the guest's address space
// before the device stops to answer, or a vCPU would fault on them.
void VfioPci::PassWrite(uint16_t offset, std::span<const std::byte> data) {
  const uint16_t pm = config_.power_management();
  const bool command = Touches(offset, data.size(), pci::kCommand, 2);
  const bool power =
      pm != 0 && Touches(offset, data.size(),
                         static_cast<uint16_t>(pm + kPowerControl), 1);
  bool off = false;
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t at = offset + i;
    const auto value = static_cast<unsigned>(data[i]);
    if (at == pci::kCommand) off |= (value & pci::kCommandMemory) == 0;
    if (power && at == pm + size_t{kPowerControl}) {
      off |= (value & kPowerStateMask) != 0;
    }
  }
  if (off) HideBars();
  device_->WriteConfig(offset, data);
  if (!command && !power) return;
  ReadControls();
  // A device may stay awake although it was told to sleep.
  ShowBars();
}

void VfioPci::WriteConfig(uint16_t offset, std::span<const std::byte> data) {
  const std::shared_lock lock(life_);
  if (device_ == nullptr) return;
  config_.Write(offset, data,
                [this](uint16_t at, std::span<const std::byte> bytes) {
                  PassWrite(at, bytes);
                });
  ApplyInterrupts();
}

pci::MsiRegisters VfioPci::ReadMsi() const {
  const uint16_t at = config_.msi();
  const auto get = [&](int offset, size_t bytes) {
    return config_.Get(static_cast<uint16_t>(at + offset), bytes);
  };
  const uint64_t control = get(2, 2);
  const bool wide = (control & 0x80) != 0;
  const bool maskable = (control & 0x100) != 0;
  const uint64_t able = (control >> 1) & 7;
  const uint64_t asked = std::min((control >> 4) & 7, able);
  return {.enabled = (control & 1) != 0,
          .vectors = 1u << std::min<uint64_t>(asked, 5),
          .address = get(4, wide ? 8 : 4),
          .data = static_cast<uint16_t>(get(wide ? 12 : 8, 2)),
          .mask = maskable ? static_cast<uint32_t>(get(wide ? 16 : 12, 4)) : 0};
}

// The registers are looked at as a whole after every write: an access of any
// width may have changed several of them.
void VfioPci::ApplyInterrupts() {
  bool msix_on = false;
  if (msix_ != nullptr) {
    const uint64_t control =
        config_.Get(static_cast<uint16_t>(config_.msix() + 2), 2);
    msix_on = (control & pci::kMsixEnable) != 0;
    msix_->SetControl(msix_on, (control & pci::kMsixFunctionMask) != 0);
  }
  if (msi_ != nullptr) {
    pci::MsiRegisters registers = ReadMsi();
    registers.enabled = registers.enabled && !msix_on;
    msi_->Apply(registers);
  }
  if (msix_on) {
    interrupts_->UseMessages(
        IrqIndex::kMsix, msix_->size(), [this](uint32_t vector) {
          return msix_->EventFdOf(static_cast<uint16_t>(vector));
        });
  } else if (msi_ != nullptr && msi_->enabled()) {
    interrupts_->UseMessages(
        IrqIndex::kMsi, static_cast<uint32_t>(msi_->vectors()),
        [this](uint32_t vector) { return msi_->EventFdOf(vector); });
  } else {
    interrupts_->UseIntx();
  }
}

void VfioPci::ArmMsix(uint32_t first, uint32_t count) {
  interrupts_->Update(first, count, [this](uint32_t vector) {
    return msix_->EventFdOf(static_cast<uint16_t>(vector));
  });
}

std::optional<uint64_t> VfioPci::DecodedBar(uint8_t index) const {
  const BarSpec* const bar = FindBar(index);
  if (bar == nullptr || power_state_ != 0) return std::nullopt;
  if ((command_ & pci::kCommandMemory) == 0) return std::nullopt;
  if (index == pci::kRomBar && !config_.RomEnabled()) return std::nullopt;
  return config_.BarAddress(*bar);
}

bool VfioPci::InMsix(uint8_t index, uint64_t offset) const {
  if (!msix_place_ || msix_place_->bar != index) return false;
  return offset >= msix_place_->table &&
         offset - msix_place_->table < msix_->table_bytes();
}

void VfioPci::ReadBar(uint8_t index, uint64_t offset,
                      std::span<std::byte> data) {
  const std::shared_lock lock(life_);
  FillOnes(data);
  if (device_ == nullptr) return;
  if (index == pci::kRomBar) return rom_->Read(*device_, offset, data);
  if (InMsix(index, offset)) {
    return msix_->ReadTable(offset - msix_place_->table, data);
  }
  if (msix_place_ && index == msix_place_->bar && offset >= msix_place_->pba &&
      offset - msix_place_->pba < msix_->pba_bytes()) {
    return msix_->ReadPba(offset - msix_place_->pba, data);
  }
  device_->ReadRegion(index, offset, data);
}

void VfioPci::WriteBar(uint8_t index, uint64_t offset,
                       std::span<const std::byte> data) {
  const std::shared_lock lock(life_);
  if (device_ == nullptr || index == pci::kRomBar) return;
  if (!InMsix(index, offset)) {
    return device_->WriteRegion(index, offset, data);
  }
  const uint64_t at = offset - msix_place_->table;
  msix_->WriteTable(at, data);
  ArmMsix(static_cast<uint32_t>(at / pci::kMsixEntrySize), 1);
}

void VfioPci::OnBarMapped(uint8_t index, uint64_t address) {
  const std::shared_lock lock(life_);
  if (device_ == nullptr || index == pci::kRomBar) return;
  places_[index].address = address;
  ShowBars();
}

void VfioPci::OnBarUnmapped(uint8_t index) {
  const std::shared_lock lock(life_);
  if (device_ == nullptr || index == pci::kRomBar) return;
  places_[index].address.reset();
  const absl::Status status = places_[index].mapped->Unmap();
  if (!status.ok()) log_.Warn(status.ToString());
}

void VfioPci::ShowBars() {
  for (const BarSpec& spec : bars_) {
    if (spec.index == pci::kRomBar) continue;
    const Bar& bar = places_[spec.index];
    if (!bar.address || bar.mapped->slots() > 0) continue;
    if (!DecodedBar(spec.index)) continue;
    const absl::Status status = bar.mapped->Map(*bar.address);
    if (!status.ok()) {
      log_.Warn(absl::StrCat("BAR ", spec.index,
                             " is reached slowly: ", status.ToString()));
    }
  }
}

void VfioPci::HideBars() {
  for (const Bar& bar : places_) {
    if (bar.mapped == nullptr) continue;
    if (const absl::Status status = bar.mapped->Unmap(); !status.ok()) {
      log_.Warn(status.ToString());
    }
  }
}

bool VfioPci::TrapBars() {
  const std::unique_lock lock(life_);
  const bool any = std::ranges::any_of(places_, [](const Bar& bar) {
    return bar.mapped != nullptr && bar.mapped->slots() > 0;
  });
  if (any) HideBars();
  return any;
}

void VfioPci::Detach() {
  const std::unique_lock lock(life_);
  if (device_ == nullptr) return;
  HideBars();
  interrupts_.reset();
  for (Bar& bar : places_) bar = Bar{};
  device_.reset();
}

}  // namespace kvmlet::vfio
