// SPDX-License-Identifier: Apache-2.0
// The configuration registers of one function as bytes, each bit of which is
// read-only, writable or write-one-to-clear for the guest. It has 256 bytes,
// or 4096 once an extended capability is added.
//
// Threads: not thread-safe; the root bus calls a function one access at a
// time. Any offset, width and alignment is safe: what lies outside reads as
// zero and is ignored when written.
// Specification: PCI Local Bus 3.0, sections 6.1 to 6.7.
#ifndef KVMLET_DEVICES_PCI_CONFIG_SPACE_H_
#define KVMLET_DEVICES_PCI_CONFIG_SPACE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "devices/pci/spec.h"

namespace kvmlet::pci {

struct ConfigHeader {
  uint16_t vendor_id = 0xffff;
  uint16_t device_id = 0xffff;
  uint8_t revision = 0;
  uint32_t class_code = kClassOther;
  uint16_t subsystem_vendor_id = 0;
  uint16_t subsystem_id = 0;
  uint8_t interrupt_pin = 0;  // 1 is INTA#, 0 none
};

class ConfigSpace {
 public:
  explicit ConfigSpace(const ConfigHeader& header);

  // The guest's accesses.
  void Read(uint16_t offset, std::span<std::byte> data) const;
  void Write(uint16_t offset, std::span<const std::byte> data);

  // The device's own accesses; `T` is unsigned and lies inside.
  template <typename T>
  T Get(uint16_t offset) const {
    static_assert(std::is_unsigned_v<T>);
    T value;
    Load(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <typename T>
  void Set(uint16_t offset, T value) {
    static_assert(std::is_unsigned_v<T>);
    Store(values_, offset, std::as_bytes(std::span(&value, 1)));
  }
  // Which bits the guest may write; none at first.
  template <typename T>
  void SetWritable(uint16_t offset, T mask) {
    static_assert(std::is_unsigned_v<T>);
    Store(writable_, offset, std::as_bytes(std::span(&mask, 1)));
  }
  template <typename T>
  void SetWriteOneToClear(uint16_t offset, T mask) {
    static_assert(std::is_unsigned_v<T>);
    Store(clearable_, offset, std::as_bytes(std::span(&mask, 1)));
  }

  // Appends a capability: `body` is what follows its id and next pointer.
  // Returns its offset.
  uint16_t AddCapability(uint8_t id, std::span<const std::byte> body);
  template <typename T>
  uint16_t AddCapability(uint8_t id, const T& body) {
    static_assert(std::is_trivially_copyable_v<T>);
    return AddCapability(id, std::as_bytes(std::span(&body, 1)));
  }
  // The same in extended space; `body` follows the 4-byte header.
  uint16_t AddExtendedCapability(uint16_t id, uint8_t version,
                                 std::span<const std::byte> body);

  // Remembers the registers as they are, and goes back to them.
  void Seal() { initial_ = values_; }
  void Restore() { values_ = initial_; }

 private:
  using Bytes = std::vector<uint8_t>;
  void Load(uint16_t offset, std::span<std::byte> data) const;
  static void Store(Bytes& bytes, uint16_t offset,
                    std::span<const std::byte> data);

  Bytes values_;
  Bytes writable_;
  Bytes clearable_;
  Bytes initial_;
  uint16_t next_capability_ = kFirstCapability;
  uint16_t last_pointer_ = kCapabilityPointer;  // of the last capability
  uint16_t next_extended_ = kFirstExtendedCapability;
  uint16_t last_extended_ = 0;
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_CONFIG_SPACE_H_
