// SPDX-License-Identifier: Apache-2.0
// A sealed map from addresses to devices; the machine has one for MMIO and,
// where the ISA has them, one for I/O ports. It is filled while the machine is
// built and never changes after Seal(), so a lookup takes no lock. It owns
// nothing: devices outlive it.
//
// Threads: Add and Seal on the building thread; Read and Write from any thread
// after Seal. An access no device claims wholly reads as all ones and is
// ignored when written; the result says whether a device answered.
#ifndef KVMLET_VMM_BUS_BUS_H_
#define KVMLET_VMM_BUS_BUS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "vmm/bus/address_range.h"
#include "vmm/bus/io_device.h"

namespace kvmlet {

class Bus {
 public:
  explicit Bus(std::string name) : name_(std::move(name)) {}

  // Fails when the range overlaps another device's.
  absl::Status Add(AddressRange range, IoDevice& device);
  void Seal() { sealed_ = true; }

  bool Read(uint64_t address, std::span<std::byte> data) const;
  bool Write(uint64_t address, std::span<const std::byte> data) const;

 private:
  struct Entry {
    AddressRange range;
    IoDevice* device;
  };
  const Entry* Find(uint64_t address, uint64_t length) const;

  std::string name_;
  std::vector<Entry> entries_;  // sorted by base
  bool sealed_ = false;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_BUS_H_
