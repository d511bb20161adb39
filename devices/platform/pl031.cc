// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/pl031.h"

#include <array>

namespace kvmlet {
namespace {

// Registers, by offset (table 3-1).
enum Reg : uint64_t {
  kDr = 0x000,
  kMr = 0x004,
  kLr = 0x008,
  kCr = 0x00c,
  kImsc = 0x010,
  kRis = 0x014,
  kMis = 0x018,
  kIcr = 0x01c,
  kPeriphId0 = 0xfe0,
};

constexpr std::array<uint8_t, 8> kId = {0x31, 0x10, 0x04, 0x00,
                                        0x0d, 0xf0, 0x05, 0xb1};

std::chrono::seconds HostTime() {
  return std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

}  // namespace

Pl031::Pl031() : Pl031(HostTime) {}

void Pl031::Reset() {
  const std::lock_guard lock(mutex_);
  match_ = 0;
  armed_ = false;
  raw_ = false;
  mask_ = false;
}

uint32_t Pl031::Now() const {
  return static_cast<uint32_t>(clock_().count()) + offset_;
}

void Pl031::LatchMatch() {
  // Reached at or before now, in the half of the circle behind it.
  if (!armed_ || Now() - match_ > UINT32_MAX / 2) return;
  armed_ = false;
  raw_ = true;
}

void Pl031::Read(uint64_t offset, std::span<std::byte> data) {
  uint32_t value = 0;
  {
    const std::lock_guard lock(mutex_);
    value = ReadRegister(offset);
  }
  StoreLe(value, data);
}

uint32_t Pl031::ReadRegister(uint64_t offset) {
  LatchMatch();
  switch (offset) {
    case kDr:
      return Now();
    case kMr:
      return match_;
    case kLr:
      return load_;
    case kCr:
      return 1;  // once started it cannot be stopped
    case kImsc:
      return mask_ ? 1 : 0;
    case kRis:
      return raw_ ? 1 : 0;
    case kMis:
      return raw_ && mask_ ? 1 : 0;
    default:
      break;
  }
  const bool id = offset >= kPeriphId0 && offset % 4 == 0 && offset < kSize;
  return id ? kId[(offset - kPeriphId0) / 4] : 0;
}

void Pl031::Write(uint64_t offset, std::span<const std::byte> data) {
  const auto value = static_cast<uint32_t>(LoadLe(data));
  const std::lock_guard lock(mutex_);
  LatchMatch();
  switch (offset) {
    case kMr:
      match_ = value;
      armed_ = true;
      return;
    case kLr:
      load_ = value;
      offset_ += value - Now();
      return;
    case kImsc:
      mask_ = (value & 1) != 0;
      return;
    case kIcr:
      if ((value & 1) != 0) raw_ = false;
      return;
    default:
      return;
  }
}

}  // namespace kvmlet
