// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_aperture.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace kvmlet::pci {

std::optional<BarMap::Hit> BarMap::Find(uint64_t address,
                                        uint64_t length) const {
  const std::shared_lock lock(mutex_);
  const auto after = std::upper_bound(
      active_.begin(), active_.end(), address,
      [](uint64_t a, const Claim& c) { return a < c.range.base(); });
  if (after == active_.begin()) return std::nullopt;
  const Claim& claim = *std::prev(after);
  if (!claim.range.Contains(address, length)) return std::nullopt;
  return Hit{claim.device, claim.bar, address - claim.range.base()};
}

void BarMap::Set(PciDevice& device, const BarSpec& bar,
                 std::optional<uint64_t> address) {
  const auto old = std::find_if(
      claims_.begin(), claims_.end(), [&device, &bar](const Claim& c) {
        return c.device == &device && c.bar == bar.index;
      });
  std::optional<AddressRange> range;
  if (address) range = AddressRange::Make(*address, bar.size);
  if (old == claims_.end() ? !range : range == old->range) return;
  if (old != claims_.end()) claims_.erase(old);
  if (range) claims_.push_back({&device, bar.index, *range});
  Rebuild();
}

void BarMap::Rebuild() {
  Claims next;
  for (const Claim& claim : claims_) {
    const bool inside = std::any_of(
        windows_.begin(), windows_.end(), [&claim](const AddressRange& w) {
          return w.Contains(claim.range.base(), claim.range.size());
        });
    const bool taken =
        std::any_of(next.begin(), next.end(), [&claim](const Claim& other) {
          return other.range.Overlaps(claim.range);
        });
    if (inside && !taken) next.push_back(claim);
  }
  std::sort(next.begin(), next.end(), [](const Claim& a, const Claim& b) {
    return a.range.base() < b.range.base();
  });
  Claims before;
  {
    const std::unique_lock lock(mutex_);
    before = std::exchange(active_, next);
  }
  // What went first: a doorbell must leave an address before another takes it.
  for (const Claim& claim : before) {
    if (std::find(next.begin(), next.end(), claim) == next.end()) {
      claim.device->OnBarUnmapped(claim.bar);
    }
  }
  for (const Claim& claim : next) {
    if (std::find(before.begin(), before.end(), claim) == before.end()) {
      claim.device->OnBarMapped(claim.bar, claim.range.base());
    }
  }
}

void PciAperture::Read(uint64_t offset, std::span<std::byte> data) {
  const auto hit = map_.Find(window_.base() + offset, data.size());
  if (!hit) {
    FillOnes(data);
    return;
  }
  hit->device->ReadBar(hit->bar, hit->offset, data);
}

void PciAperture::Write(uint64_t offset, std::span<const std::byte> data) {
  const auto hit = map_.Find(window_.base() + offset, data.size());
  if (hit) hit->device->WriteBar(hit->bar, hit->offset, data);
}

}  // namespace kvmlet::pci
