// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/uart_16550.h"

#include <algorithm>

namespace kvmlet {
namespace {

// Registers, by offset (PC16550D, section 8, table "Register Addresses").
enum Reg : uint64_t {
  kData = 0,  // RBR when read, THR when written; divisor low with DLAB
  kIer = 1,   // interrupt enable; divisor high with DLAB
  kIirFcr = 2,
  kLcr = 3,
  kMcr = 4,
  kLsr = 5,
  kMsr = 6,
  kScr = 7,
};

constexpr uint8_t kIerReceived = 0x01;
constexpr uint8_t kIerTransmitter = 0x02;
constexpr uint8_t kIirNone = 0x01;
constexpr uint8_t kIirTransmitter = 0x02;
constexpr uint8_t kIirReceived = 0x04;
constexpr uint8_t kIirFifos = 0xc0;
constexpr uint8_t kFcrEnable = 0x01;
constexpr uint8_t kFcrClearReceiver = 0x02;
constexpr uint8_t kLsrDataReady = 0x01;
constexpr uint8_t kLsrTransmitterEmpty = 0x60;
constexpr uint8_t kMsrLines = 0xb0;  // DCD, DSR, CTS
constexpr uint8_t kMcrOut2 = 0x08;   // gates the interrupt on a PC

constexpr size_t kFifoSize = 16;
// So many looks at the line status without writing anything: the guest polls
// for input with the interrupt off.
constexpr int kPollsForInput = 8;

}  // namespace

Uart16550::Uart16550(std::unique_ptr<IrqLine> irq, CharBackend& backend)
    : irq_(std::move(irq)), backend_(backend) {
  backend_.SetInput(
      [this](std::span<const std::byte> data) { return OnInput(data); });
}

void Uart16550::Reset() {
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

size_t Uart16550::OnInput(std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  const size_t room = kFifoSize - std::min(kFifoSize, input_.size());
  const size_t taken = std::min(room, data.size());
  for (size_t i = 0; i < taken; ++i) {
    input_.push_back(std::to_integer<uint8_t>(data[i]));
  }
  if (taken > 0) UpdateIrq();
  return taken;
}

bool Uart16550::InputVisible() const {
  if (loopback()) return !loop_.empty();
  const bool asked =
      (regs_.ier & kIerReceived) != 0 || polls_ >= kPollsForInput;
  return asked && !input_.empty();
}

uint8_t Uart16550::InterruptId() const {
  if ((regs_.ier & kIerReceived) != 0 && InputVisible()) return kIirReceived;
  if ((regs_.ier & kIerTransmitter) != 0 && transmitter_interrupt_) {
    return kIirTransmitter;
  }
  return kIirNone;
}

void Uart16550::UpdateIrq() {
  // In loopback mode the output that gates the interrupt is off.
  const bool gate = (regs_.mcr & kMcrOut2) != 0 && !loopback();
  const bool assert_now = gate && InterruptId() != kIirNone;
  if (assert_now == irq_asserted_) return;
  irq_asserted_ = assert_now;
  irq_->Set(assert_now);
}

void Uart16550::Read(uint64_t offset, std::span<std::byte> data) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < data.size(); ++i) {
      data[i] = std::byte{ReadRegister(offset + i, outcome)};
    }
  }
  if (outcome.room) backend_.InputReady();
}

void Uart16550::Write(uint64_t offset, std::span<const std::byte> data) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < data.size(); ++i) {
      WriteRegister(offset + i, std::to_integer<uint8_t>(data[i]), outcome);
    }
  }
  // Without the lock: a slow reader of the output must not hold up input.
  if (outcome.output_size > 0) {
    backend_.Write(std::span(outcome.output).first(outcome.output_size));
  }
}

uint8_t Uart16550::ReadRegister(uint64_t offset, Outcome& outcome) {
  switch (offset) {
    case kData: {
      if (dlab()) return regs_.dll;
      if (!InputVisible()) return 0;
      std::deque<uint8_t>& from = loopback() ? loop_ : input_;
      const uint8_t value = from.front();
      from.pop_front();
      outcome.room = true;
      UpdateIrq();
      return value;
    }
    case kIer:
      return dlab() ? regs_.dlm : regs_.ier;
    case kIirFcr: {
      const uint8_t id = InterruptId();
      // Reading the cause clears "transmitter empty".
      if (id == kIirTransmitter) transmitter_interrupt_ = false;
      UpdateIrq();
      return id | ((regs_.fcr & kFcrEnable) != 0 ? kIirFifos : uint8_t{0});
    }
    case kLcr:
      return regs_.lcr;
    case kMcr:
      return regs_.mcr;
    case kLsr:
      polls_ = std::min(polls_ + 1, kPollsForInput);
      return InputVisible() ? kLsrTransmitterEmpty | kLsrDataReady
                            : kLsrTransmitterEmpty;
    case kMsr:
      if (!loopback()) return kMsrLines;
      // Loopback: the modem outputs appear at the inputs.
      return static_cast<uint8_t>(
          (regs_.mcr & 0x01) << 5 | (regs_.mcr & 0x02) << 3 |
          (regs_.mcr & 0x04) << 4 | (regs_.mcr & 0x08) << 4);
    case kScr:
      return regs_.scr;
    default:
      return 0xff;
  }
}

void Uart16550::WriteRegister(uint64_t offset, uint8_t value,
                              Outcome& outcome) {
  switch (offset) {
    case kData:
      if (dlab()) {
        regs_.dll = value;
      } else {
        WriteData(value, outcome);
      }
      return;
    case kIer:
      if (dlab()) {
        regs_.dlm = value;
        return;
      }
      // Switching the transmitter interrupt on raises it: THR is empty.
      if ((value & kIerTransmitter) != 0 &&
          (regs_.ier & kIerTransmitter) == 0) {
        transmitter_interrupt_ = true;
      }
      regs_.ier = value & 0x0f;
      UpdateIrq();
      return;
    case kIirFcr:
      return WriteFifoControl(value);
    case kLcr:
      regs_.lcr = value;
      return;
    case kMcr:
      regs_.mcr = value & 0x1f;
      if (!loopback()) loop_.clear();
      UpdateIrq();
      return;
    case kScr:
      regs_.scr = value;
      return;
    default:
      return;
  }
}

void Uart16550::WriteData(uint8_t value, Outcome& outcome) {
  polls_ = 0;
  if (loopback()) {
    if (loop_.size() < kFifoSize) loop_.push_back(value);
  } else {
    if (outcome.output_size < outcome.output.size()) {
      outcome.output[outcome.output_size++] = std::byte{value};
    }
  }
  transmitter_interrupt_ = true;
  UpdateIrq();
}

void Uart16550::WriteFifoControl(uint8_t value) {
  regs_.fcr = value;
  // The guest's own loopback bytes go; the host's input stays for the reader.
  if ((value & kFcrClearReceiver) != 0) loop_.clear();
  polls_ = 0;
  UpdateIrq();
}

}  // namespace kvmlet
