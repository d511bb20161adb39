// SPDX-License-Identifier: Apache-2.0
// A PL011 serial port: 32-byte receive FIFO, interrupts for received data and
// an empty transmitter. Output goes straight to the backend, whether or not
// the guest has enabled the port: an early console writes blindly. Input is
// never lost: a driver's start-up drains the FIFO blindly, so bytes are only
// offered to a guest that asks for them (receive interrupt on, or polling the
// flag register).
//
// Threads: Read and Write from vCPU threads; input from the backend's loop.
// Specification: Arm DDI 0183G, "PrimeCell UART (PL011)", chapter 3.
#ifndef KVMLET_DEVICES_SERIAL_PL011_H_
#define KVMLET_DEVICES_SERIAL_PL011_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "devices/backend/char_backend.h"
#include "vmm/bus/interrupts.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class Pl011 : public IoDevice {
 public:
  static constexpr uint64_t kSize = 0x1000;

  // The backend outlives the device.
  Pl011(std::unique_ptr<IrqLine> irq, CharBackend& backend);

  std::string_view name() const override { return "pl011"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;
  // Registers to power-on; input that was not read yet stays.
  void Reset();

 private:
  struct Registers {
    uint32_t ilpr = 0;
    uint32_t ibrd = 0;
    uint32_t fbrd = 0;
    uint32_t lcr_h = 0;
    uint32_t cr = 0x300;
    uint32_t ifls = 0x12;
    uint32_t imsc = 0;
    uint32_t dmacr = 0;
  };

  size_t OnInput(std::span<const std::byte> data);
  // All of these hold mutex_.
  uint32_t ReadRegister(uint64_t offset, bool& room);
  uint8_t ReadData(bool& room);
  uint32_t ReadFlags();
  void WriteRegister(uint64_t offset, uint32_t value,
                     std::optional<uint8_t>& output);
  void WriteData(uint8_t value, std::optional<uint8_t>& output);
  bool InputVisible() const;
  uint32_t RawInterrupts() const;
  void UpdateIrq();
  bool loopback() const;

  const std::unique_ptr<IrqLine> irq_;
  CharBackend& backend_;
  std::mutex mutex_;
  Registers regs_;                      // guarded by mutex_
  std::deque<uint8_t> input_;           // guarded by mutex_
  std::deque<uint8_t> loop_;            // guarded by mutex_: loopback mode
  bool transmitter_interrupt_ = false;  // guarded by mutex_
  bool irq_asserted_ = false;           // guarded by mutex_
  int polls_ = 0;  // guarded by mutex_: flag reads without output
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_SERIAL_PL011_H_
