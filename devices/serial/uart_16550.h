// SPDX-License-Identifier: Apache-2.0
// A 16550A serial port: eight byte registers, 16-byte receive FIFO, interrupts
// for received data, empty transmitter and line errors. Output goes straight
// to the backend. Input is never lost: a driver's start-up clears the FIFO and
// reads the data register blindly, so bytes are only offered to a guest that
// asks for them (receive interrupt on, or polling the line status), and a FIFO
// reset puts unread bytes back.
//
// Threads: Read and Write from vCPU threads; input from the backend's loop.
// Specification: National Semiconductor PC16550D data sheet, section 8.
#ifndef KVMLET_DEVICES_SERIAL_UART_16550_H_
#define KVMLET_DEVICES_SERIAL_UART_16550_H_

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "devices/backend/char_backend.h"
#include "vmm/bus/interrupts.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class Uart16550 : public IoDevice {
 public:
  static constexpr uint64_t kSize = 8;

  // The backend outlives the device.
  Uart16550(std::unique_ptr<IrqLine> irq, CharBackend& backend);

  std::string_view name() const override { return "uart16550"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;
  // Registers to power-on; input that was not read yet stays.
  void Reset();

 private:
  struct Registers {
    uint8_t ier = 0;
    uint8_t fcr = 0;
    uint8_t lcr = 0;
    uint8_t mcr = 0x08;
    uint8_t scr = 0;
    uint8_t dll = 12;  // 9600 baud, as firmware leaves it
    uint8_t dlm = 0;
  };
  // What must be done once the lock is gone.
  struct Outcome {
    bool room = false;  // the backend may give more input
    std::array<std::byte, 8> output{};
    size_t output_size = 0;
  };

  size_t OnInput(std::span<const std::byte> data);
  uint8_t ReadRegister(uint64_t offset, Outcome& outcome);
  void WriteRegister(uint64_t offset, uint8_t value, Outcome& outcome);
  void WriteData(uint8_t value, Outcome& outcome);
  void WriteFifoControl(uint8_t value);
  uint8_t InterruptId() const;
  bool InputVisible() const;
  void UpdateIrq();
  bool dlab() const { return (regs_.lcr & 0x80) != 0; }
  bool loopback() const { return (regs_.mcr & 0x10) != 0; }

  const std::unique_ptr<IrqLine> irq_;
  CharBackend& backend_;
  std::mutex mutex_;
  Registers regs_;                      // guarded by mutex_
  std::deque<uint8_t> input_;           // guarded by mutex_
  std::deque<uint8_t> loop_;            // guarded by mutex_: loopback mode
  bool transmitter_interrupt_ = false;  // guarded by mutex_
  bool irq_asserted_ = false;           // guarded by mutex_
  int polls_ = 0;  // guarded by mutex_: line status reads without output
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_SERIAL_UART_16550_H_
