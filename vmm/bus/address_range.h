// SPDX-License-Identifier: Apache-2.0
// A validated, non-empty range of addresses on a bus: its end never wraps.
// Value type, thread-safe, units are bytes.
#ifndef KVMLET_VMM_BUS_ADDRESS_RANGE_H_
#define KVMLET_VMM_BUS_ADDRESS_RANGE_H_

#include <cstdint>
#include <limits>
#include <optional>

namespace kvmlet {

class AddressRange {
 public:
  // Nothing when the size is zero or the last byte is beyond 2^64 - 1.
  static constexpr std::optional<AddressRange> Make(uint64_t base,
                                                    uint64_t size) {
    if (size == 0) return std::nullopt;
    if (size - 1 > std::numeric_limits<uint64_t>::max() - base) {
      return std::nullopt;
    }
    return AddressRange(base, size);
  }

  constexpr uint64_t base() const { return base_; }
  constexpr uint64_t size() const { return size_; }
  constexpr uint64_t last() const { return base_ + (size_ - 1); }
  constexpr bool Contains(uint64_t at, uint64_t length) const {
    return at >= base_ && length <= size_ && at - base_ <= size_ - length;
  }
  constexpr bool Overlaps(const AddressRange& other) const {
    return base_ <= other.last() && other.base_ <= last();
  }
  friend constexpr bool operator==(const AddressRange&,
                                   const AddressRange&) = default;

 private:
  constexpr AddressRange(uint64_t base, uint64_t size)
      : base_(base), size_(size) {}
  uint64_t base_;
  uint64_t size_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_ADDRESS_RANGE_H_
