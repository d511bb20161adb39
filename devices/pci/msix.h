// SPDX-License-Identifier: Apache-2.0
// MSI-X of one function: the table and the pending bits the guest sees in a
// BAR, and the vectors behind them. A vector is connected to the guest while
// MSI-X is enabled and neither the function nor the vector is masked; else a
// trigger stays pending and is delivered later.
//
// Threads: thread-safe. Trigger() and Enabled() take no lock, so that an I/O
// thread never waits for the guest's register accesses.
// Specification: PCI Local Bus 3.0, section 6.8.2.
#ifndef KVMLET_DEVICES_PCI_MSIX_H_
#define KVMLET_DEVICES_PCI_MSIX_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/base/log_limiter.h"
#include "vmm/bus/interrupts.h"

namespace kvmlet::pci {

class Msix {
 public:
  // When the host's vectors are made: all at once, or each when the guest
  // first unmasks it, for a device with thousands of which few are used.
  enum class Vectors { kEager, kLazy };
  // `device_id` is the requester id that every message carries; `name` is for
  // logs.
  static absl::StatusOr<std::unique_ptr<Msix>> Create(
      InterruptRouter& router, uint16_t vectors, uint32_t device_id,
      std::string_view name, Vectors when = Vectors::kEager);

  uint16_t size() const { return static_cast<uint16_t>(entries_.size()); }
  uint32_t table_bytes() const;
  uint32_t pba_bytes() const;

  // The guest's accesses, at an offset into the table or the pending bits.
  // Other than aligned 4 and 8 byte accesses read as ones and are ignored.
  void ReadTable(uint64_t offset, std::span<std::byte> data);
  void WriteTable(uint64_t offset, std::span<const std::byte> data);
  void ReadPba(uint64_t offset, std::span<std::byte> data);

  // The two writable bits of Message Control.
  void SetControl(bool enabled, bool function_masked);
  bool Enabled() const { return enabled_.load(std::memory_order_acquire); }

  // Ignores a vector that does not exist. Not for lazy vectors.
  void Trigger(uint16_t vector);
  // -1 for a vector that does not exist, or not yet.
  int EventFdOf(uint16_t vector) const;

  // Power-on state: disabled, every vector masked, nothing pending.
  void Reset();

 private:
  struct Entry {
    std::unique_ptr<MsiVector> vector;
    MsiMessage message;
    bool masked = true;
    bool connected = false;
  };
  Msix(InterruptRouter& router, uint32_t device_id, std::string_view name)
      : router_(router), name_(name), log_(name_), device_id_(device_id) {}
  // Brings the entries from `first` on, `count` of them, to where the control
  // bits say; one commit of routes for all. Called with mutex_ held.
  void Update(size_t first, size_t count, bool message_changed);
  void Connect(std::vector<Entry*> entries);
  uint32_t Word(uint64_t index) const;
  void SetWord(uint64_t index, uint32_t value);

  InterruptRouter& router_;
  const std::string name_;
  LogLimiter log_;
  const uint32_t device_id_;
  std::atomic<bool> enabled_{false};
  std::mutex mutex_;
  bool function_masked_ = false;  // guarded by mutex_
  // The vector is fixed after Create; what the entries hold is guarded by
  // mutex_, except for the vectors' own thread-safe members.
  std::vector<Entry> entries_;
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_MSIX_H_
