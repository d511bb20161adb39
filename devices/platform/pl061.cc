// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/pl061.h"

#include <array>

namespace kvmlet {
namespace {

// Registers, by offset (table 3-1). The data register spans 1 KiB: bits 9:2 of
// the address are the mask of the lines that are meant.
enum Reg : uint64_t {
  kDataEnd = 0x400,
  kDir = 0x400,
  kIs = 0x404,
  kIbe = 0x408,
  kIev = 0x40c,
  kIe = 0x410,
  kRis = 0x414,
  kMis = 0x418,
  kIc = 0x41c,
  kAfsel = 0x420,
  kPeriphId0 = 0xfe0,
};

constexpr std::array<uint8_t, 8> kId = {0x61, 0x10, 0x04, 0x00,
                                        0x0d, 0xf0, 0x05, 0xb1};
constexpr uint8_t kButton = 1u << Pl061::kPowerButtonLine;

uint8_t Byte(int value) { return static_cast<uint8_t>(value); }

}  // namespace

void Pl061::PressPowerButton() {
  const std::lock_guard lock(mutex_);
  SetInput(kButton);
}

void Pl061::Reset() {
  const std::lock_guard lock(mutex_);
  regs_ = Registers();
  input_ = 0;
  UpdateIrq();
}

uint8_t Pl061::Lines() const {
  return Byte((regs_.output & regs_.direction) | (input_ & ~regs_.direction));
}

uint8_t Pl061::RawInterrupts() const {
  // A level line interrupts while it is at the level that the event register
  // names, an edge line until it is cleared.
  const int level = ~(Lines() ^ regs_.event_high) & regs_.sense_level;
  return Byte(level | (regs_.edges & ~regs_.sense_level));
}

void Pl061::SetInput(uint8_t input) {
  const uint8_t before = Lines();
  input_ = input;
  const int changed = before ^ Lines();
  const int wanted = ~(Lines() ^ regs_.event_high) | regs_.both_edges;
  regs_.edges = Byte(regs_.edges | (changed & wanted & ~regs_.sense_level));
  UpdateIrq();
}

void Pl061::UpdateIrq() {
  const bool assert_now = (RawInterrupts() & regs_.enable) != 0;
  if (assert_now == irq_asserted_) return;
  irq_asserted_ = assert_now;
  irq_->Set(assert_now);
}

uint8_t Pl061::ReadData(uint8_t mask) {
  const uint8_t value = Lines() & mask;
  // Seen: the button goes up.
  if ((value & input_ & kButton) != 0) SetInput(0);
  return value;
}

void Pl061::Read(uint64_t offset, std::span<std::byte> data) {
  uint8_t value = 0;
  {
    const std::lock_guard lock(mutex_);
    value = ReadRegister(offset);
  }
  StoreLe(value, data);
}

uint8_t Pl061::ReadRegister(uint64_t offset) {
  if (offset < kDataEnd) return ReadData(Byte(static_cast<int>(offset >> 2)));
  switch (offset) {
    case kDir:
      return regs_.direction;
    case kIs:
      return regs_.sense_level;
    case kIbe:
      return regs_.both_edges;
    case kIev:
      return regs_.event_high;
    case kIe:
      return regs_.enable;
    case kRis:
      return RawInterrupts();
    case kMis:
      return RawInterrupts() & regs_.enable;
    case kAfsel:
      return regs_.function;
    default:
      break;
  }
  const bool id = offset >= kPeriphId0 && offset % 4 == 0 && offset < kSize;
  return id ? kId[(offset - kPeriphId0) / 4] : 0;
}

void Pl061::Write(uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  WriteRegister(offset, static_cast<uint8_t>(LoadLe(data)));
  UpdateIrq();
}

void Pl061::WriteRegister(uint64_t offset, uint8_t value) {
  if (offset < kDataEnd) {
    const auto mask = Byte(static_cast<int>(offset >> 2)) & regs_.direction;
    regs_.output = Byte((regs_.output & ~mask) | (value & mask));
    return;
  }
  switch (offset) {
    case kDir:
      regs_.direction = value;
      return;
    case kIs:
      regs_.sense_level = value;
      return;
    case kIbe:
      regs_.both_edges = value;
      return;
    case kIev:
      regs_.event_high = value;
      return;
    case kIe:
      regs_.enable = value;
      return;
    case kIc:
      regs_.edges = Byte(regs_.edges & ~value);
      return;
    case kAfsel:
      regs_.function = value;
      return;
    default:
      return;
  }
}

}  // namespace kvmlet
