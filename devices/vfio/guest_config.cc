// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/guest_config.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstring>

#include "devices/pci/spec.h"

namespace kvmlet::vfio {
namespace {

using pci::kConfigSize;
using pci::kExtendedConfigSize;
using pci::kFirstCapability;
using pci::kFirstExtendedCapability;

constexpr uint16_t kBist = 0x0f;
constexpr uint16_t kBarsEnd = 0x28;

// Capabilities that a guest can use. The kernel hides some more.
bool IsPassed(uint8_t id) {
  switch (id) {
    case 0x01:  // power management
    case 0x03:  // vital product data
    case 0x05:  // MSI
    case 0x09:  // vendor-specific
    case 0x10:  // PCI Express
    case 0x11:  // MSI-X
    case 0x13:  // advanced features
      return true;
    default:
      return false;
  }
}

// Extended capabilities that are the host's business: they change addresses
// and routing outside the guest, or show them.
bool IsHidden(uint16_t id) {
  switch (id) {
    case 0x000:  // null
    case 0x00e:  // ARI
    case 0x00f:  // ATS
    case 0x010:  // SR-IOV
    case 0x013:  // PRI
    case 0x015:  // resizable BAR
    case 0x01b:  // PASID
    case 0x024:  // resizable BAR of virtual functions
      return true;
    default:
      return false;
  }
}

// PCI Express 4.0, section 7.5.3.2: device/port type, bits 7:4.
constexpr uint64_t kTypeMask = 0xf0;
constexpr uint64_t kTypeEndpoint = 0x00;
constexpr uint64_t kTypeLegacyEndpoint = 0x10;
constexpr uint64_t kTypeRootComplexEndpoint = 0x90;

}  // namespace

GuestConfig::GuestConfig(std::span<const std::byte> raw)
    : values_(raw.size() > kConfigSize ? kExtendedConfigSize : kConfigSize),
      writable_(values_.size()),
      ours_(values_.size()) {
  std::memcpy(values_.data(), raw.data(), std::min(raw.size(), values_.size()));
  FilterHeader();
  FilterCapabilities();
  if (values_.size() == kExtendedConfigSize) FilterExtended();
  Seal();
}

uint64_t GuestConfig::Get(uint16_t offset, size_t bytes) const {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes && offset + i < values_.size(); ++i) {
    value |= uint64_t{values_[offset + i]} << (8 * i);
  }
  return value;
}

void GuestConfig::Own(size_t at, size_t bytes) {
  for (size_t i = at; i < std::min(at + bytes, values_.size()); ++i) {
    ours_[i] = true;
  }
}

void GuestConfig::Set(size_t at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes && at + i < values_.size(); ++i) {
    values_[at + i] = static_cast<uint8_t>(value >> (8 * i));
    ours_[at + i] = true;
  }
}

void GuestConfig::Allow(size_t at, uint64_t mask, size_t bytes) {
  for (size_t i = 0; i < bytes && at + i < writable_.size(); ++i) {
    writable_[at + i] = static_cast<uint8_t>(mask >> (8 * i));
  }
}

void GuestConfig::FilterHeader() {
  // Whether the function has siblings is for its place in the guest to say.
  Set(pci::kHeaderType, Get(pci::kHeaderType, 1) & 0x7f, 1);
  Set(kBist, 0, 1);
  for (size_t at = pci::kBar0; at < kBarsEnd; at += 4) Set(at, 0, 4);
  Set(pci::kExpansionRom, 0, 4);
  Own(pci::kInterruptLine, 2);
  Allow(pci::kInterruptLine, 0xff, 1);
}

// Zeroes what begins at `at`, up to where the next capability begins.
void GuestConfig::Hide(size_t at, std::span<const uint16_t> starts,
                       size_t end) {
  for (const uint16_t start : starts) {
    if (start > at) end = std::min<size_t>(end, start);
  }
  for (size_t i = at; i < end; ++i) Set(i, 0, 1);
}

void GuestConfig::FilterCapabilities() {
  std::vector<uint16_t> starts;
  if ((Get(pci::kStatus, 2) & pci::kStatusCapabilities) != 0) {
    auto at = static_cast<uint16_t>(Get(pci::kCapabilityPointer, 1) & 0xfc);
    while (at >= kFirstCapability && std::ranges::count(starts, at) == 0) {
      starts.push_back(at);
      at = static_cast<uint16_t>(Get(static_cast<uint16_t>(at + 1), 1) & 0xfc);
    }
  }
  Set(pci::kCapabilityPointer, 0, 1);
  size_t last_pointer = pci::kCapabilityPointer;
  for (const uint16_t at : starts) {
    if (!IsPassed(values_[at])) {
      Hide(at, starts, kConfigSize);
      continue;
    }
    Set(last_pointer, at, 1);
    last_pointer = at + 1u;
    Own(at, 1);
    Set(last_pointer, 0, 1);
    AddCapability(at);
  }
}

void GuestConfig::AddCapability(uint16_t at) {
  // What a capability needs must lie inside the space; a second one of a kind
  // is left to the device.
  switch (values_[at]) {
    case 0x01:
      if (power_management_ == 0 && at + 8u <= kConfigSize) {
        power_management_ = at;
      }
      return;
    case 0x05:
      if (msi_ == 0 && at + 24u <= kConfigSize) AddMsi(at);
      return;
    case 0x10:
      if (at + 0x3cu <= kConfigSize) AddExpress(at);
      return;
    case 0x11:
      if (msix_ != 0 || at + 12u > kConfigSize) return;
      msix_ = at;
      Own(at, 12);
      Allow(at + 2u, pci::kMsixEnable | pci::kMsixFunctionMask, 2);
      // As a device is after a reset.
      Set(at + 2u, Get(static_cast<uint16_t>(at + 2), 2) & 0x7ff, 2);
      return;
    default:
      return;
  }
}

// PCI 3.0, section 6.8.1: the layout depends on two bits of Message Control.
void GuestConfig::AddMsi(uint16_t at) {
  msi_ = at;
  const uint64_t control = Get(static_cast<uint16_t>(at + 2), 2) & 0x018e;
  const bool wide = (control & 0x80) != 0;
  const bool maskable = (control & 0x100) != 0;
  const size_t data = at + (wide ? 12u : 8u);
  Own(at, maskable ? (wide ? 24 : 20) : (wide ? 14 : 10));
  Set(at + 2u, control, 2);
  Allow(at + 2u, 0x0071, 2);
  Set(at + 4u, 0, 4);
  Allow(at + 4u, 0xfffffffc, 4);
  if (wide) {
    Set(at + 8u, 0, 4);
    Allow(at + 8u, 0xffffffff, 4);
  }
  Set(data, 0, 2);
  Allow(data, 0xffff, 2);
  if (maskable) {
    Set(data + 4, 0, 8);
    Allow(data + 4, 0xffffffff, 4);
  }
}

// The function lies on the root bus, where PCI Express knows no endpoints with
// a link (section 1.3.2.3).
void GuestConfig::AddExpress(uint16_t at) {
  const uint64_t flags = Get(static_cast<uint16_t>(at + 2), 2);
  const uint64_t type = flags & kTypeMask;
  if (type != kTypeEndpoint && type != kTypeLegacyEndpoint) return;
  Set(at + 2u, (flags & ~kTypeMask) | kTypeRootComplexEndpoint, 2);
  Set(at + 0x0cu, 0, 4);  // link capabilities
  Set(at + 0x10u, 0, 4);  // link control and status
  if ((flags & 0xf) < 2) return;
  Set(at + 0x2cu, 0, 4);
  Set(at + 0x30u, 0, 4);
}

void GuestConfig::FilterExtended() {
  std::vector<uint16_t> starts;
  uint64_t at = kFirstExtendedCapability;
  while (at >= kFirstExtendedCapability && at + 4 <= kExtendedConfigSize &&
         std::ranges::count(starts, static_cast<uint16_t>(at)) == 0) {
    const uint64_t header = Get(static_cast<uint16_t>(at), 4);
    if (header == 0 || header == 0xffffffff) break;
    starts.push_back(static_cast<uint16_t>(at));
    at = (header >> 20) & 0xffc;
  }
  // The chain begins at 0x100 whatever is there: when that is hidden, a header
  // without a type and the pointer stays.
  uint16_t last = kFirstExtendedCapability;
  for (const uint16_t start : starts) {
    const uint64_t header = Get(start, 4);
    if (IsHidden(header & 0xffff)) {
      Hide(start, starts, kExtendedConfigSize);
      continue;
    }
    Set(start, header & 0xfffff, 4);
    if (start != kFirstExtendedCapability) {
      Set(last, Get(last, 4) | uint64_t{start} << 20, 4);
    }
    last = start;
  }
  if (starts.empty()) Set(kFirstExtendedCapability, 0, 4);
}

void GuestConfig::Overlay(uint16_t offset, std::span<std::byte> data) const {
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t at = offset + i;
    if (at >= values_.size()) {
      data[i] = std::byte{0};
    } else if (ours_[at]) {
      data[i] = std::byte{values_[at]};
    }
  }
}

void GuestConfig::Write(uint16_t offset, std::span<const std::byte> data,
                        const Pass& pass) {
  size_t run = 0;  // how many bytes before `i` are the device's own
  for (size_t i = 0; i <= data.size(); ++i) {
    const size_t at = offset + i;
    if (i < data.size() && at < values_.size() && !ours_[at]) {
      ++run;
      continue;
    }
    if (run > 0) {
      pass(static_cast<uint16_t>(at - run), data.subspan(i - run, run));
      run = 0;
    }
    if (i == data.size() || at >= values_.size()) return;
    const unsigned mask = writable_[at];
    values_[at] = static_cast<uint8_t>((values_[at] & ~mask) |
                                       (static_cast<unsigned>(data[i]) & mask));
  }
}

void GuestConfig::AddBar(const pci::BarSpec& bar) {
  const uint64_t mask = ~(bar.size - 1);
  if (bar.index == pci::kRomBar) {
    return Allow(pci::kExpansionRom,
                 (mask & pci::kRomAddressMask) | pci::kRomEnable, 4);
  }
  const size_t at = pci::kBar0 + bar.index * 4u;
  Allow(at, mask & pci::kBarAddressMask, 4);
  if (bar.is_64bit) Allow(at + 4, mask >> 32, 4);
}

void GuestConfig::SetBar(const pci::BarSpec& bar, uint64_t address) {
  if (bar.index == pci::kRomBar) return Set(pci::kExpansionRom, address, 4);
  const size_t at = pci::kBar0 + bar.index * 4u;
  uint64_t type = bar.prefetchable ? pci::kBarPrefetchable : 0;
  if (bar.is_64bit) type |= pci::kBar64Bit;
  Set(at, (address & pci::kBarAddressMask) | type, 4);
  if (bar.is_64bit) Set(at + 4, address >> 32, 4);
}

uint64_t GuestConfig::BarAddress(const pci::BarSpec& bar) const {
  if (bar.index == pci::kRomBar) {
    return Get(pci::kExpansionRom, 4) & pci::kRomAddressMask;
  }
  const auto at = static_cast<uint16_t>(pci::kBar0 + bar.index * 4);
  const uint64_t all = Get(at, bar.is_64bit ? 8 : 4);
  return all & ~uint64_t{0xf};
}

bool GuestConfig::RomEnabled() const {
  return (Get(pci::kExpansionRom, 4) & pci::kRomEnable) != 0;
}

}  // namespace kvmlet::vfio
