// SPDX-License-Identifier: Apache-2.0
// Message-signalled interrupts (MSI, not MSI-X) of one function: from the
// capability's registers to connected vectors. Vectors are made when the guest
// first enables them.
//
// Threads: Apply and Reset from one thread at a time.
// Specification: PCI Local Bus 3.0, section 6.8.1.
#ifndef KVMLET_DEVICES_PCI_MSI_H_
#define KVMLET_DEVICES_PCI_MSI_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/log_limiter.h"
#include "vmm/bus/interrupts.h"

namespace kvmlet::pci {

// What the guest has written into the capability.
struct MsiRegisters {
  bool enabled = false;
  uint32_t vectors = 1;  // Multiple Message Enable, as a number
  uint64_t address = 0;
  uint16_t data = 0;
  uint32_t mask = 0;
  friend bool operator==(const MsiRegisters&, const MsiRegisters&) = default;
};

class Msi {
 public:
  // `device_id` is the requester id that every message carries.
  Msi(InterruptRouter& router, uint32_t device_id, std::string_view name)
      : router_(router), name_(name), log_(name_), device_id_(device_id) {}

  void Apply(const MsiRegisters& registers);
  bool enabled() const { return applied_.enabled; }
  size_t vectors() const { return entries_.size(); }
  // -1 for a vector that is not enabled.
  int EventFdOf(size_t vector) const;
  // The Pending Bits register.
  uint32_t Pending() const;
  void Reset() { Apply({}); }

 private:
  struct Entry {
    std::unique_ptr<MsiVector> vector;
    bool connected = false;
  };
  absl::Status Resize(size_t count);
  absl::Status Connect(const MsiRegisters& registers);

  InterruptRouter& router_;
  const std::string name_;
  LogLimiter log_;
  const uint32_t device_id_;
  MsiRegisters applied_;
  std::vector<Entry> entries_;
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_MSI_H_
