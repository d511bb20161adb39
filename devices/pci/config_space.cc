// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/config_space.h"

#include <glog/logging.h>

#include <cstring>

namespace kvmlet::pci {
namespace {

constexpr uint16_t AlignUp4(size_t offset) {
  return static_cast<uint16_t>((offset + 3) & ~size_t{3});
}

}  // namespace

ConfigSpace::ConfigSpace(const ConfigHeader& header)
    : values_(kConfigSize), writable_(kConfigSize), clearable_(kConfigSize) {
  Set(kVendorId, header.vendor_id);
  Set(kDeviceId, header.device_id);
  Set(kRevision, (header.class_code << 8) | header.revision);
  Set(kSubsystemVendorId, header.subsystem_vendor_id);
  Set(kSubsystemId, header.subsystem_id);
  Set(kInterruptPin, header.interrupt_pin);
  SetWritable<uint16_t>(kCommand, kCommandMemory | kCommandBusMaster |
                                      kCommandParity | kCommandSerr |
                                      kCommandIntxDisable);
  SetWriteOneToClear<uint16_t>(kStatus, kStatusErrors);
  SetWritable<uint8_t>(kCacheLineSize, 0xff);
  SetWritable<uint8_t>(kInterruptLine, 0xff);
}

void ConfigSpace::Read(uint16_t offset, std::span<std::byte> data) const {
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t at = offset + i;
    data[i] = at < values_.size() ? std::byte{values_[at]} : std::byte{0};
  }
}

void ConfigSpace::Write(uint16_t offset, std::span<const std::byte> data) {
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t at = offset + i;
    if (at >= values_.size()) return;
    const auto value = static_cast<unsigned>(data[i]);
    unsigned next = values_[at] & ~unsigned{writable_[at]};
    next |= value & writable_[at];
    next &= ~(value & clearable_[at]);
    values_[at] = static_cast<uint8_t>(next);
  }
}

void ConfigSpace::Load(uint16_t offset, std::span<std::byte> data) const {
  CHECK_LE(offset + data.size(), values_.size());
  std::memcpy(data.data(), values_.data() + offset, data.size());
}

void ConfigSpace::Store(Bytes& bytes, uint16_t offset,
                        std::span<const std::byte> data) {
  CHECK_LE(offset + data.size(), bytes.size());
  std::memcpy(bytes.data() + offset, data.data(), data.size());
}

uint16_t ConfigSpace::AddCapability(uint8_t id,
                                    std::span<const std::byte> body) {
  const uint16_t at = next_capability_;
  CHECK_LE(at + 2 + body.size(), kConfigSize) << "too many capabilities";
  Set<uint8_t>(at, id);
  Store(values_, static_cast<uint16_t>(at + 2), body);
  // The list's previous link points here.
  Set(last_pointer_, static_cast<uint8_t>(at));
  last_pointer_ = static_cast<uint16_t>(at + 1);
  next_capability_ = AlignUp4(at + 2 + body.size());
  Set(kStatus,
      static_cast<uint16_t>(Get<uint16_t>(kStatus) | kStatusCapabilities));
  return at;
}

uint16_t ConfigSpace::AddExtendedCapability(uint16_t id, uint8_t version,
                                            std::span<const std::byte> body) {
  for (Bytes* bytes : {&values_, &writable_, &clearable_}) {
    bytes->resize(kExtendedConfigSize);
  }
  const uint16_t at = next_extended_;
  CHECK_LE(at + 4 + body.size(), kExtendedConfigSize);
  Set<uint32_t>(at, id | (uint32_t{version} & 0xf) << 16);
  Store(values_, static_cast<uint16_t>(at + 4), body);
  if (last_extended_ != 0) {
    Set<uint32_t>(last_extended_,
                  Get<uint32_t>(last_extended_) | uint32_t{at} << 20);
  }
  last_extended_ = at;
  next_extended_ = AlignUp4(at + 4 + body.size());
  return at;
}

}  // namespace kvmlet::pci
