// SPDX-License-Identifier: Apache-2.0
// What a guest may ask of its machine through a device: power off, reset,
// leave with a status, report a panic. The machine implements it; a device
// only says which door was used.
//
// Threads: called from any thread; a call returns at once, the machine acts
// later. The first request that ends the machine wins.
#ifndef KVMLET_VMM_BUS_GUEST_REQUESTS_H_
#define KVMLET_VMM_BUS_GUEST_REQUESTS_H_

#include <cstdint>
#include <string>

namespace kvmlet {

// The doors through which a guest's verdict can leave, named in the verdict.
enum class Door {
  kExitDevice,   // I/O port 0xf4, or its MMIO register on arm64
  kVerdictPort,  // virtio-console port "kvmlet.verdict"
  kPvpanic,      // pvpanic device
  kConsole,      // a panic message on the console, before a reset
  kAcpiSleep,    // ACPI sleep control register, S5
  kAcpiReset,    // ACPI reset register
  kI8042,        // keyboard controller pulse of the reset line
  kPciReset,     // port 0xcf9
  kPsci,         // PSCI SYSTEM_OFF or SYSTEM_RESET
  kTripleFault,  // x86 shutdown
  kSystemEvent,  // another KVM system event
};

class GuestRequests {
 public:
  virtual ~GuestRequests() = default;
  virtual void PowerOff(Door door) = 0;
  virtual void Reset(Door door) = 0;
  // The guest chose a status; `text` is what it said beside the number.
  virtual void Exit(Door door, uint64_t code, std::string text) = 0;
  // A panic; with `crash_loaded` a crash kernel follows and the machine runs
  // on.
  virtual void Panic(Door door, bool crash_loaded) = 0;
  // The guest is done with the devices in these slots of the PCI root bus, a
  // bit each. A machine whose devices stay does not care.
  virtual void EjectPci(uint32_t /*slots*/) {}
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_GUEST_REQUESTS_H_
