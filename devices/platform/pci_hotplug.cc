// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/pci_hotplug.h"

namespace kvmlet {

void PciHotplug::Read(uint64_t offset, std::span<std::byte> data) {
  // Only whole registers are read, so that no access takes half of one.
  uint32_t slots = 0;
  if (data.size() == sizeof slots) {
    if (offset == kPlugged) slots = plugged_.exchange(0);
    if (offset == kAsked) slots = asked_.exchange(0);
  }
  StoreLe(slots, data);
}

void PciHotplug::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset != kEject || data.size() != sizeof(uint32_t)) return;
  const uint32_t slots = static_cast<uint32_t>(LoadLe(data)) & slots_;
  if (slots != 0) requests_.EjectPci(slots);
}

}  // namespace kvmlet
