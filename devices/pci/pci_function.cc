// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_function.h"

#include <glog/logging.h>

#include <array>
#include <bit>
#include <utility>

#include "devices/pci/spec.h"
#include "vmm/base/status_macros.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::pci {
namespace {

constexpr uint16_t BarOffset(uint8_t index) {
  return static_cast<uint16_t>(kBar0 + 4 * index);
}

// Whether an access starts in [start, start + size).
constexpr bool StartsIn(uint64_t offset, uint64_t start, uint64_t size) {
  return offset >= start && offset - start < size;
}

}  // namespace

uint8_t PciFunction::interrupt_pin() const {
  return config_.Get<uint8_t>(kInterruptPin);
}

absl::Status PciFunction::Attach(PciSlot slot) {
  slot_ = std::move(slot);
  if (slot_.intx != nullptr) {
    // What a guest without interrupt routing tables goes by.
    config_.Set(kInterruptLine, static_cast<uint8_t>(slot_.intx_number));
    intx_.Connect(std::move(slot_.intx));
  }
  return absl::OkStatus();
}

void PciFunction::AddBar(const BarSpec& spec) {
  CHECK(std::has_single_bit(spec.size) && spec.size >= 16);
  CHECK_LE(spec.index + (spec.is_64bit ? 1 : 0), kMaxBars - 1);
  uint32_t type = 0;
  if (spec.is_64bit) type |= kBar64Bit;
  if (spec.prefetchable) type |= kBarPrefetchable;
  // Size bits that cannot be written are how the guest learns the size.
  const uint64_t mask = ~(spec.size - 1);
  const uint16_t at = BarOffset(spec.index);
  config_.Set(at, type);
  config_.SetWritable(at, static_cast<uint32_t>(mask) & kBarAddressMask);
  if (spec.is_64bit) {
    config_.SetWritable(static_cast<uint16_t>(at + 4),
                        static_cast<uint32_t>(mask >> 32));
  } else {
    CHECK_LE(spec.size, uint64_t{1} << 31);
  }
  bars_.push_back(spec);
}

absl::Status PciFunction::AddMsix(uint16_t vectors, uint8_t bar,
                                  uint32_t table_offset, uint32_t pba_offset) {
  CHECK(FindBar(bar) != nullptr && slot_.interrupts != nullptr);
  KVMLET_ASSIGN_OR_RETURN(msix_,
                          Msix::Create(*slot_.interrupts, vectors,
                                       slot_.address.requester_id(), name()));
  msix_bar_ = bar;
  msix_table_ = table_offset;
  msix_pba_ = pba_offset;
  // Section 6.8.2: message control, table and pending-bit locations.
  std::array<std::byte, 10> body{};
  StoreLe(vectors - 1u, std::span(body).subspan(0, 2));
  StoreLe(table_offset | bar, std::span(body).subspan(2, 4));
  StoreLe(pba_offset | bar, std::span(body).subspan(6, 4));
  msix_capability_ = config_.AddCapability(kCapabilityMsix, body);
  config_.SetWritable<uint16_t>(static_cast<uint16_t>(msix_capability_ + 2),
                                kMsixEnable | kMsixFunctionMask);
  return absl::OkStatus();
}

const BarSpec* PciFunction::FindBar(uint8_t index) const {
  for (const BarSpec& bar : bars_) {
    if (bar.index == index) return &bar;
  }
  return nullptr;
}

void PciFunction::PlaceBars(std::span<const uint64_t> addresses) {
  CHECK_EQ(addresses.size(), bars_.size());
  for (size_t i = 0; i < bars_.size(); ++i) {
    const uint16_t at = BarOffset(bars_[i].index);
    const uint32_t type = config_.Get<uint32_t>(at) & ~kBarAddressMask;
    config_.Set(at, static_cast<uint32_t>(addresses[i]) | type);
    if (bars_[i].is_64bit) {
      config_.Set(static_cast<uint16_t>(at + 4),
                  static_cast<uint32_t>(addresses[i] >> 32));
    }
  }
  if (!bars_.empty()) config_.Set(kCommand, kCommandMemory);
  config_.Seal();
}

void PciFunction::ReadConfig(uint16_t offset, std::span<std::byte> data) {
  unsigned status =
      config_.Get<uint16_t>(kStatus) & ~unsigned{kStatusInterrupt};
  if (intx_.asserted()) status |= kStatusInterrupt;
  config_.Set(kStatus, static_cast<uint16_t>(status));
  config_.Read(offset, data);
}

void PciFunction::WriteConfig(uint16_t offset,
                              std::span<const std::byte> data) {
  config_.Write(offset, data);
  ApplyControls();
}

// The registers are looked at as a whole after every write: an access of any
// width may have changed several of them.
void PciFunction::ApplyControls() {
  if (msix_ != nullptr) {
    const auto control =
        config_.Get<uint16_t>(static_cast<uint16_t>(msix_capability_ + 2));
    msix_->SetControl((control & kMsixEnable) != 0,
                      (control & kMsixFunctionMask) != 0);
  }
  const auto command = config_.Get<uint16_t>(kCommand);
  intx_.SetAllowed((command & kCommandIntxDisable) == 0 && !MsixEnabled());
}

std::optional<uint64_t> PciFunction::DecodedBar(uint8_t index) const {
  const BarSpec* bar = FindBar(index);
  if (bar == nullptr) return std::nullopt;
  if ((config_.Get<uint16_t>(kCommand) & kCommandMemory) == 0) {
    return std::nullopt;
  }
  const uint16_t at = BarOffset(index);
  uint64_t address = config_.Get<uint32_t>(at) & kBarAddressMask;
  if (bar->is_64bit) {
    const auto high = config_.Get<uint32_t>(static_cast<uint16_t>(at + 4));
    address |= uint64_t{high} << 32;
  }
  return address;
}

void PciFunction::ReadBar(uint8_t index, uint64_t offset,
                          std::span<std::byte> data) {
  if (msix_ != nullptr && index == msix_bar_) {
    if (StartsIn(offset, msix_table_, msix_->table_bytes())) {
      return msix_->ReadTable(offset - msix_table_, data);
    }
    if (StartsIn(offset, msix_pba_, msix_->pba_bytes())) {
      return msix_->ReadPba(offset - msix_pba_, data);
    }
  }
  ReadRegister(index, offset, data);
}

void PciFunction::WriteBar(uint8_t index, uint64_t offset,
                           std::span<const std::byte> data) {
  if (msix_ != nullptr && index == msix_bar_) {
    if (StartsIn(offset, msix_table_, msix_->table_bytes())) {
      return msix_->WriteTable(offset - msix_table_, data);
    }
    if (StartsIn(offset, msix_pba_, msix_->pba_bytes())) return;  // read-only
  }
  WriteRegister(index, offset, data);
}

void PciFunction::ReadRegister(uint8_t, uint64_t, std::span<std::byte> data) {
  FillOnes(data);
}

void PciFunction::WriteRegister(uint8_t, uint64_t, std::span<const std::byte>) {
}

void PciFunction::Reset() {
  config_.Restore();
  if (msix_ != nullptr) msix_->Reset();
  intx_.Set(false);
  ApplyControls();
}

}  // namespace kvmlet::pci
