// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/pl011.h"

#include <algorithm>
#include <array>

namespace kvmlet {
namespace {

// Registers, by offset (table 3-1).
enum Reg : uint64_t {
  kDr = 0x000,
  kRsrEcr = 0x004,
  kFr = 0x018,
  kIlpr = 0x020,
  kIbrd = 0x024,
  kFbrd = 0x028,
  kLcrH = 0x02c,
  kCr = 0x030,
  kIfls = 0x034,
  kImsc = 0x038,
  kRis = 0x03c,
  kMis = 0x040,
  kIcr = 0x044,
  kDmacr = 0x048,
  kPeriphId0 = 0xfe0,
};

// UARTFR.
constexpr uint32_t kFrModem = 0x07;  // CTS, DSR, DCD
constexpr uint32_t kFrReceiveEmpty = 1u << 4;
constexpr uint32_t kFrReceiveFull = 1u << 6;
constexpr uint32_t kFrTransmitEmpty = 1u << 7;
// UARTIMSC, UARTRIS, UARTMIS, UARTICR.
constexpr uint32_t kReceive = 1u << 4;
constexpr uint32_t kTransmit = 1u << 5;
constexpr uint32_t kReceiveTimeout = 1u << 6;
// UARTCR.
constexpr uint32_t kCrLoopback = 1u << 7;

// UARTPeriphID0-3 and UARTPCellID0-3: revision r1p5, whose FIFOs hold 32.
constexpr std::array<uint8_t, 8> kId = {0x11, 0x10, 0x34, 0x00,
                                        0x0d, 0xf0, 0x05, 0xb1};
constexpr size_t kFifoSize = 32;

// So many looks at the flags without writing anything: the guest polls for
// input with the interrupt off. A driver's start-up looks once.
constexpr int kPollsForInput = 8;

}  // namespace

Pl011::Pl011(std::unique_ptr<IrqLine> irq, CharBackend& backend)
    : irq_(std::move(irq)), backend_(backend) {
  backend_.SetInput(
      [this](std::span<const std::byte> data) { return OnInput(data); });
}

void Pl011::Reset() {
  {
    const std::lock_guard lock(mutex_);
    regs_ = Registers();
    loop_.clear();
    transmitter_interrupt_ = false;
    polls_ = 0;
    UpdateIrq();
  }
  backend_.Flush();
}

size_t Pl011::OnInput(std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  const size_t room = kFifoSize - std::min(kFifoSize, input_.size());
  const size_t taken = std::min(room, data.size());
  for (size_t i = 0; i < taken; ++i) {
    input_.push_back(std::to_integer<uint8_t>(data[i]));
  }
  if (taken > 0) UpdateIrq();
  return taken;
}

bool Pl011::loopback() const { return (regs_.cr & kCrLoopback) != 0; }

bool Pl011::InputVisible() const {
  if (loopback()) return !loop_.empty();
  const bool asked = (regs_.imsc & (kReceive | kReceiveTimeout)) != 0 ||
                     polls_ >= kPollsForInput;
  return asked && !input_.empty();
}

uint32_t Pl011::RawInterrupts() const {
  // What is received waits in the FIFO as long as it takes: the level and the
  // timeout are one.
  const uint32_t receive = InputVisible() ? kReceive | kReceiveTimeout : 0;
  return receive | (transmitter_interrupt_ ? kTransmit : 0);
}

void Pl011::UpdateIrq() {
  const bool assert_now = (RawInterrupts() & regs_.imsc) != 0;
  if (assert_now == irq_asserted_) return;
  irq_asserted_ = assert_now;
  irq_->Set(assert_now);
}

void Pl011::Read(uint64_t offset, std::span<std::byte> data) {
  bool room = false;
  uint32_t value = 0;
  {
    const std::lock_guard lock(mutex_);
    value = ReadRegister(offset, room);
  }
  StoreLe(value, data);
  if (room) backend_.InputReady();
}

void Pl011::Write(uint64_t offset, std::span<const std::byte> data) {
  std::optional<uint8_t> output;
  {
    const std::lock_guard lock(mutex_);
    WriteRegister(offset, static_cast<uint32_t>(LoadLe(data)), output);
  }
  // Without the lock: a slow reader of the output must not hold up input.
  if (output) backend_.Write(std::array{std::byte{*output}});
}

uint8_t Pl011::ReadData(bool& room) {
  if (!InputVisible()) return 0;
  std::deque<uint8_t>& from = loopback() ? loop_ : input_;
  const uint8_t value = from.front();
  from.pop_front();
  room = true;
  UpdateIrq();
  return value;
}

uint32_t Pl011::ReadFlags() {
  polls_ = std::min(polls_ + 1, kPollsForInput);
  uint32_t flags = kFrModem | kFrTransmitEmpty;
  if (!InputVisible()) return flags | kFrReceiveEmpty;
  const size_t held = loopback() ? loop_.size() : input_.size();
  return held < kFifoSize ? flags : flags | kFrReceiveFull;
}

uint32_t Pl011::ReadRegister(uint64_t offset, bool& room) {
  switch (offset) {
    case kDr:
      return ReadData(room);
    case kRsrEcr:
      return 0;
    case kFr:
      return ReadFlags();
    case kIlpr:
      return regs_.ilpr;
    case kIbrd:
      return regs_.ibrd;
    case kFbrd:
      return regs_.fbrd;
    case kLcrH:
      return regs_.lcr_h;
    case kCr:
      return regs_.cr;
    case kIfls:
      return regs_.ifls;
    case kImsc:
      return regs_.imsc;
    case kRis:
      return RawInterrupts();
    case kMis:
      return RawInterrupts() & regs_.imsc;
    case kDmacr:
      return regs_.dmacr;
    default:
      break;
  }
  const bool id = offset >= kPeriphId0 && offset % 4 == 0 && offset < kSize;
  return id ? kId[(offset - kPeriphId0) / 4] : 0;
}

void Pl011::WriteRegister(uint64_t offset, uint32_t value,
                          std::optional<uint8_t>& output) {
  switch (offset) {
    case kDr:
      return WriteData(static_cast<uint8_t>(value), output);
    case kIlpr:
      regs_.ilpr = value & 0xff;
      return;
    case kIbrd:
      regs_.ibrd = value & 0xffff;
      return;
    case kFbrd:
      regs_.fbrd = value & 0x3f;
      return;
    case kLcrH:
      regs_.lcr_h = value & 0xff;
      return;
    case kCr:
      regs_.cr = value & 0xffff;
      if (!loopback()) loop_.clear();
      return UpdateIrq();
    case kIfls:
      regs_.ifls = value & 0x3f;
      return;
    case kImsc:
      regs_.imsc = value & 0x7ff;
      return UpdateIrq();
    case kIcr:
      if ((value & kTransmit) != 0) transmitter_interrupt_ = false;
      return UpdateIrq();
    case kDmacr:
      regs_.dmacr = value & 0x7;
      return;
    default:
      return;
  }
}

void Pl011::WriteData(uint8_t value, std::optional<uint8_t>& output) {
  polls_ = 0;
  if (loopback()) {
    if (loop_.size() < kFifoSize) loop_.push_back(value);
  } else {
    output = value;
  }
  // The FIFO is empty again at once.
  transmitter_interrupt_ = true;
  UpdateIrq();
}

}  // namespace kvmlet
