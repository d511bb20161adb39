// SPDX-License-Identifier: Apache-2.0
#include "vmm/bus/bus.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_format.h"

namespace kvmlet {

absl::Status Bus::Add(AddressRange range, IoDevice& device) {
  CHECK(!sealed_) << name_ << ": Add after Seal";
  const auto at = std::lower_bound(
      entries_.begin(), entries_.end(), range.base(),
      [](const Entry& e, uint64_t base) { return e.range.base() < base; });
  const bool clash_next = at != entries_.end() && at->range.Overlaps(range);
  const bool clash_prev =
      at != entries_.begin() && std::prev(at)->range.Overlaps(range);
  if (clash_next || clash_prev) {
    const Entry& other = clash_next ? *at : *std::prev(at);
    return absl::AlreadyExistsError(absl::StrFormat(
        "%s: %s at 0x%x overlaps %s at 0x%x", name_, std::string(device.name()),
        range.base(), std::string(other.device->name()), other.range.base()));
  }
  entries_.insert(at, Entry{range, &device});
  return absl::OkStatus();
}

const Bus::Entry* Bus::Find(uint64_t address, uint64_t length) const {
  const auto after = std::upper_bound(
      entries_.begin(), entries_.end(), address,
      [](uint64_t a, const Entry& e) { return a < e.range.base(); });
  if (after == entries_.begin()) return nullptr;
  const Entry& entry = *std::prev(after);
  return entry.range.Contains(address, length) ? &entry : nullptr;
}

bool Bus::Read(uint64_t address, std::span<std::byte> data) const {
  const Entry* entry = Find(address, data.size());
  if (entry == nullptr) {
    FillOnes(data);
    return false;
  }
  entry->device->Read(address - entry->range.base(), data);
  return true;
}

bool Bus::Write(uint64_t address, std::span<const std::byte> data) const {
  const Entry* entry = Find(address, data.size());
  if (entry == nullptr) return false;
  entry->device->Write(address - entry->range.base(), data);
  return true;
}

}  // namespace kvmlet
