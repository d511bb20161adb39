// SPDX-License-Identifier: Apache-2.0
// How a device interrupts the guest without knowing KVM or the ISA: level
// pins (IrqLine) and message-signalled vectors (MsiVector), both made by an
// InterruptRouter. vmm/kvm implements them with irqfds; tests count calls.
//
// Threads: Trigger and Set may be called from any thread; Route, Mask, Commit
// and the factories from one thread at a time per vector.
#ifndef KVMLET_VMM_BUS_INTERRUPTS_H_
#define KVMLET_VMM_BUS_INTERRUPTS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvmlet {

// A level-triggered wired interrupt. Set(true) asserts, Set(false) deasserts.
class IrqLine {
 public:
  virtual ~IrqLine() = default;
  virtual void Set(bool asserted) = 0;
  void Pulse() {
    Set(true);
    Set(false);
  }
};

// What the guest wrote into an MSI or MSI-X entry, and who sends it
// (device_id is the PCI requester id, used by the arm64 ITS).
struct MsiMessage {
  uint64_t address = 0;
  uint32_t data = 0;
  uint32_t device_id = 0;
  friend bool operator==(const MsiMessage&, const MsiMessage&) = default;
};

// One message-signalled interrupt. While it is not connected (masked or
// without a route) a Trigger is kept as pending in the eventfd and delivered
// when it gets connected.
class MsiVector {
 public:
  virtual ~MsiVector() = default;
  // Whoever writes to this eventfd triggers the vector (vhost, VFIO).
  virtual int event_fd() const = 0;
  virtual void Trigger() = 0;
  // Sets the message; takes effect with InterruptRouter::Commit.
  virtual absl::Status Route(const MsiMessage& message) = 0;
  // Connects the eventfd to the guest, after Commit; a pending trigger is
  // delivered.
  virtual absl::Status Unmask() = 0;
  // Disconnects it; triggers stay pending from now on.
  virtual absl::Status Mask() = 0;
  virtual bool Pending() const = 0;
  virtual void ClearPending() = 0;
};

// A level interrupt that the kernel carries to the guest: a signal of one
// eventfd asserts it; the guest's acknowledgement lowers it and signals the
// other. It lasts as long as this object.
class LevelIrqfd {
 public:
  virtual ~LevelIrqfd() = default;
};

class InterruptRouter {
 public:
  virtual ~InterruptRouter() = default;
  // `pin` is a global system interrupt (x86: I/O APIC pin, arm64: SPI number).
  virtual absl::StatusOr<std::unique_ptr<IrqLine>> CreateLine(uint32_t pin) = 0;
  virtual absl::StatusOr<std::unique_ptr<MsiVector>> CreateMsi() = 0;
  // `pin` as above; it may be shared with lines. The eventfds outlive it.
  virtual absl::StatusOr<std::unique_ptr<LevelIrqfd>> ConnectLevel(
      uint32_t pin, int trigger, int acknowledged) = 0;
  // Writes all routes changed since the last Commit, as one batch.
  virtual absl::Status Commit() = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_INTERRUPTS_H_
