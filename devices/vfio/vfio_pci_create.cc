// SPDX-License-Identifier: Apache-2.0
// What a function has, looked at once before the guest finds it.
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "devices/pci/spec.h"
#include "devices/vfio/vfio_pci.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::vfio {
namespace {

using pci::BarSpec;

constexpr uint64_t kLargestBar = 1ull << 46;
constexpr uint64_t kLeastBar = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<VfioPci>> VfioPci::Create(
    std::unique_ptr<HostDevice> device, GuestMapper& mapper,
    const RomSource& rom) {
  device->ResetAtOpen();
  const bool extended =
      device->region(kConfigRegion).size >= pci::kExtendedConfigSize;
  std::vector<std::byte> raw(extended ? pci::kExtendedConfigSize
                                      : pci::kConfigSize);
  for (size_t at = 0; at < raw.size(); at += 4) {
    device->ReadConfig(at, std::span(raw).subspan(at, 4));
  }
  if (LoadLe(std::span(raw).first(2)) == 0xffff) {
    return OsRefused(
        EIO, absl::StrCat(device->name(), ": the device does not answer"));
  }
  std::unique_ptr<VfioPci> function(
      new VfioPci(std::move(device), mapper, raw));
  KVMLET_RETURN_IF_ERROR(function->FindBars(raw));
  KVMLET_RETURN_IF_ERROR(function->FindMsix());
  KVMLET_RETURN_IF_ERROR(function->MapBars());
  KVMLET_RETURN_IF_ERROR(function->FindRom(rom));
  return function;
}

absl::Status VfioPci::FindBars(std::span<const std::byte> raw) {
  for (uint8_t i = 0; i < pci::kMaxBars; ++i) {
    const uint64_t size = device_->region(i).size;
    const auto at = static_cast<size_t>(pci::kBar0 + i * 4);
    const uint64_t low = LoadLe(raw.subspan(at, 4));
    // The guest has no I/O ports behind PCI; devices do without theirs.
    if (size == 0 || (low & pci::kBarIo) != 0) continue;
    const bool wide = (low & pci::kBar64Bit) != 0;
    if ((size & (size - 1)) != 0 || size < kLeastBar || size > kLargestBar ||
        (wide && i + 1 == pci::kMaxBars) || (!wide && size > UINT32_MAX)) {
      return BadInput(absl::StrCat(name_, ": BAR ", i, " of ", size,
                                   " bytes is none that PCI allows"));
    }
    bars_.push_back({.index = i,
                     .size = size,
                     .is_64bit = wide,
                     .prefetchable = (low & pci::kBarPrefetchable) != 0});
    config_.AddBar(bars_.back());
    if (wide) ++i;
  }
  return absl::OkStatus();
}

absl::Status VfioPci::FindMsix() {
  const uint16_t at = config_.msix();
  if (at == 0) return absl::OkStatus();
  const uint64_t control = config_.Get(static_cast<uint16_t>(at + 2), 2);
  const uint64_t table = config_.Get(static_cast<uint16_t>(at + 4), 4);
  const uint64_t pba = config_.Get(static_cast<uint16_t>(at + 8), 4);
  Msix place{.bar = static_cast<uint8_t>(table & 7),
             .table = table & ~uint64_t{7},
             .pba = pba & ~uint64_t{7},
             .vectors = static_cast<uint16_t>((control & 0x7ff) + 1)};
  const BarSpec* const bar = FindBar(place.bar);
  const uint64_t table_bytes = uint64_t{place.vectors} * pci::kMsixEntrySize;
  const bool inside = bar != nullptr && table_bytes <= bar->size &&
                      place.table <= bar->size - table_bytes;
  if (!inside) {
    return BadInput(absl::StrCat(name_, ": its MSI-X table lies in no BAR"));
  }
  // Pending bits in another BAR are the device's own, and always zero.
  if ((pba & 7) != place.bar) place.pba = bar->size;
  msix_place_ = place;
  return absl::OkStatus();
}

std::vector<Area> VfioPci::MsixAreas(uint8_t bar) const {
  if (!msix_place_ || msix_place_->bar != bar) return {};
  const uint64_t pba_bytes = (msix_place_->vectors + 63u) / 64 * 8;
  return {{msix_place_->table,
           uint64_t{msix_place_->vectors} * pci::kMsixEntrySize},
          {msix_place_->pba, pba_bytes}};
}

absl::Status VfioPci::MapBars() {
  for (const BarSpec& bar : bars_) {
    KVMLET_ASSIGN_OR_RETURN(
        places_[bar.index].mapped,
        MappedBar::Create(*device_, bar.index, MsixAreas(bar.index), mapper_));
  }
  return absl::OkStatus();
}

// After all that looks for BARs by their numbers.
absl::Status VfioPci::FindRom(const RomSource& source) {
  KVMLET_ASSIGN_OR_RETURN(rom_, Rom::Create(*device_, source));
  if (rom_ == nullptr) return absl::OkStatus();
  bars_.push_back({.index = pci::kRomBar, .size = rom_->size()});
  config_.AddBar(bars_.back());
  return absl::OkStatus();
}

}  // namespace kvmlet::vfio
