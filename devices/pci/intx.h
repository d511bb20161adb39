// SPDX-License-Identifier: Apache-2.0
// Wired PCI interrupts: level-triggered pins, several of which may share one
// interrupt of the machine, which is high while any of them is.
//
// Threads: thread-safe; Set may be called from I/O threads. The locks are
// leaves: nothing but the machine's line is called with one held.
// Specification: PCI Local Bus 3.0, sections 2.2.6 and 6.2.2.
#ifndef KVMLET_DEVICES_PCI_INTX_H_
#define KVMLET_DEVICES_PCI_INTX_H_

#include <cstdint>
#include <memory>
#include <mutex>

#include "vmm/bus/interrupts.h"

namespace kvmlet::pci {

// One interrupt of the machine and the pins that share it. Outlives its pins.
class SharedLine {
 public:
  explicit SharedLine(std::unique_ptr<IrqLine> line) : line_(std::move(line)) {}
  // A new pin, low; it lowers itself when it dies.
  std::unique_ptr<IrqLine> AddPin();

 private:
  class Pin;
  void Count(bool asserted);

  std::mutex mutex_;
  std::unique_ptr<IrqLine> line_;
  uint32_t asserted_ = 0;  // guarded by mutex_
};

// The pin of one function: what the device wants, gated by the guest's
// Interrupt Disable bit and by MSI-X.
class IntxPin {
 public:
  void Connect(std::unique_ptr<IrqLine> line) { line_ = std::move(line); }

  void Set(bool asserted);
  void SetAllowed(bool allowed);
  // The Interrupt Status bit: what the device wants, gated or not.
  bool asserted() const;

 private:
  void Drive();

  std::unique_ptr<IrqLine> line_;
  mutable std::mutex mutex_;
  bool asserted_ = false;  // guarded by mutex_
  bool allowed_ = true;    // guarded by mutex_
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_INTX_H_
