// SPDX-License-Identifier: Apache-2.0
// A PL061 GPIO controller with one thing wired to it: the power button, on
// line 3. A press raises the line until the guest has read it high, so that a
// driver that debounces sees the button down, then up, however slow it is.
//
// Threads: any. Specification: Arm DDI 0190B, "PrimeCell General Purpose
// Input/Output (PL061)", chapter 3.
#ifndef KVMLET_DEVICES_PLATFORM_PL061_H_
#define KVMLET_DEVICES_PLATFORM_PL061_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "vmm/bus/interrupts.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class Pl061 : public IoDevice {
 public:
  static constexpr uint64_t kSize = 0x1000;
  static constexpr uint32_t kPowerButtonLine = 3;

  explicit Pl061(std::unique_ptr<IrqLine> irq) : irq_(std::move(irq)) {}

  void PressPowerButton();
  // Back to the state at power-on; the button is up.
  void Reset();

  std::string_view name() const override { return "pl061"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  struct Registers {
    uint8_t output = 0;  // what the guest drives
    uint8_t direction = 0;
    uint8_t sense_level = 0;
    uint8_t both_edges = 0;
    uint8_t event_high = 0;
    uint8_t enable = 0;
    uint8_t edges = 0;  // edges seen and not cleared
    uint8_t function = 0;
  };

  // All of these hold mutex_.
  uint8_t Lines() const;
  uint8_t RawInterrupts() const;
  void SetInput(uint8_t input);
  void UpdateIrq();
  uint8_t ReadData(uint8_t mask);
  uint8_t ReadRegister(uint64_t offset);
  void WriteRegister(uint64_t offset, uint8_t value);

  const std::unique_ptr<IrqLine> irq_;
  std::mutex mutex_;
  Registers regs_;             // guarded by mutex_
  uint8_t input_ = 0;          // guarded by mutex_: what the button drives
  bool irq_asserted_ = false;  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_PL061_H_
