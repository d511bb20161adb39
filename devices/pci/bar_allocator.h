// SPDX-License-Identifier: Apache-2.0
// Hands out naturally aligned pieces of one address window, lowest first.
// Not thread-safe; units are bytes. Nothing when no gap is large enough.
#ifndef KVMLET_DEVICES_PCI_BAR_ALLOCATOR_H_
#define KVMLET_DEVICES_PCI_BAR_ALLOCATOR_H_

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

#include "vmm/bus/address_range.h"

namespace kvmlet::pci {

class BarAllocator {
 public:
  explicit BarAllocator(AddressRange window) : window_(window) {}

  // `size` is a power of two; the address is a multiple of it and of 4 KiB,
  // so that no two BARs share a page.
  std::optional<uint64_t> Allocate(uint64_t size) {
    const uint64_t step = std::max<uint64_t>(size, 4096);
    uint64_t low = window_.base();
    for (auto at = used_.begin();; ++at) {
      const uint64_t padding = (step - low % step) % step;
      const uint64_t last = at == used_.end() ? window_.last() : at->base() - 1;
      if (low <= last && padding <= last - low &&
          step - 1 <= last - low - padding) {
        used_.insert(at, *AddressRange::Make(low + padding, step));
        return low + padding;
      }
      if (at == used_.end() || at->last() >= window_.last()) return {};
      low = at->last() + 1;
    }
  }

  void Free(uint64_t address) {
    std::erase_if(used_, [address](const AddressRange& range) {
      return range.base() == address;
    });
  }

 private:
  AddressRange window_;
  std::vector<AddressRange> used_;  // sorted
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_BAR_ALLOCATOR_H_
