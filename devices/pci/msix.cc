// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/msix.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/pci/spec.h"
#include "vmm/base/status_macros.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::pci {
namespace {

constexpr size_t kWordsPerEntry = kMsixEntrySize / sizeof(uint32_t);

// Section 6.8.2: software uses aligned DWORD or QWORD accesses only.
bool IsAligned(uint64_t offset, size_t size) {
  return (size == 4 || size == 8) && offset % size == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Msix>> Msix::Create(InterruptRouter& router,
                                                   uint16_t vectors,
                                                   uint32_t device_id,
                                                   std::string_view name,
                                                   Vectors when) {
  CHECK(vectors > 0 && vectors <= kMsixMaxVectors);
  std::unique_ptr<Msix> msix(new Msix(router, device_id, name));
  msix->entries_.resize(vectors);
  if (when == Vectors::kLazy) return msix;
  for (Entry& entry : msix->entries_) {
    KVMLET_ASSIGN_OR_RETURN(entry.vector, router.CreateMsi());
  }
  return msix;
}

uint32_t Msix::table_bytes() const {
  return static_cast<uint32_t>(entries_.size()) * kMsixEntrySize;
}

uint32_t Msix::pba_bytes() const {
  return static_cast<uint32_t>((entries_.size() + 63) / 64 * 8);
}

// The table as 32-bit words: address low, address high, data, control.
uint32_t Msix::Word(uint64_t index) const {
  const Entry& entry = entries_[index / kWordsPerEntry];
  switch (index % kWordsPerEntry) {
    case 0:
      return static_cast<uint32_t>(entry.message.address);
    case 1:
      return static_cast<uint32_t>(entry.message.address >> 32);
    case 2:
      return entry.message.data;
    default:
      return entry.masked ? kMsixVectorMasked : 0;
  }
}

void Msix::SetWord(uint64_t index, uint32_t value) {
  Entry& entry = entries_[index / kWordsPerEntry];
  uint64_t& address = entry.message.address;
  switch (index % kWordsPerEntry) {
    case 0:
      // The two lowest bits of an address are reserved and read as zero.
      address = (address & 0xffffffff00000000) | (value & ~uint32_t{3});
      return;
    case 1:
      address = (address & 0xffffffff) | uint64_t{value} << 32;
      return;
    case 2:
      entry.message.data = value;
      return;
    default:
      entry.masked = (value & kMsixVectorMasked) != 0;
      return;
  }
}

void Msix::ReadTable(uint64_t offset, std::span<std::byte> data) {
  if (!IsAligned(offset, data.size()) || offset >= table_bytes()) {
    FillOnes(data);
    return;
  }
  const std::lock_guard lock(mutex_);
  for (size_t at = 0; at < data.size(); at += 4) {
    StoreLe(Word((offset + at) / 4), data.subspan(at, 4));
  }
}

void Msix::WriteTable(uint64_t offset, std::span<const std::byte> data) {
  if (!IsAligned(offset, data.size()) || offset >= table_bytes()) return;
  const std::lock_guard lock(mutex_);
  const size_t index = offset / kMsixEntrySize;
  const MsiMessage before = entries_[index].message;
  for (size_t at = 0; at < data.size(); at += 4) {
    SetWord((offset + at) / 4,
            static_cast<uint32_t>(LoadLe(data.subspan(at, 4))));
  }
  Update(index, 1, !(before == entries_[index].message));
}

void Msix::ReadPba(uint64_t offset, std::span<std::byte> data) {
  if (!IsAligned(offset, data.size()) || offset >= pba_bytes()) {
    FillOnes(data);
    return;
  }
  const std::lock_guard lock(mutex_);
  uint64_t bits = 0;
  for (size_t i = 0; i < data.size() * 8; ++i) {
    const size_t index = offset * 8 + i;
    if (index >= entries_.size()) break;
    const Entry& entry = entries_[index];
    if (entry.vector == nullptr || entry.connected) continue;
    if (entry.vector->Pending()) bits |= uint64_t{1} << i;
  }
  StoreLe(bits, data);
}

void Msix::SetControl(bool enabled, bool function_masked) {
  const std::lock_guard lock(mutex_);
  if (enabled == Enabled() && function_masked == function_masked_) return;
  enabled_.store(enabled, std::memory_order_release);
  function_masked_ = function_masked;
  Update(0, entries_.size(), /*message_changed=*/false);
}

void Msix::Update(size_t first, size_t count, bool message_changed) {
  const bool open = Enabled() && !function_masked_;
  std::vector<Entry*> connect;
  for (Entry& entry : std::span(entries_).subspan(first, count)) {
    const bool wanted = open && !entry.masked;
    if (wanted && (!entry.connected || message_changed)) {
      connect.push_back(&entry);
    } else if (!wanted && entry.connected) {
      entry.connected = false;
      if (absl::Status s = entry.vector->Mask(); !s.ok()) {
        log_.Warn(absl::StrCat("MSI-X mask: ", s.ToString()));
      }
    }
  }
  if (!connect.empty()) Connect(std::move(connect));
}

// Routes first, one commit, then the connections: no vector ever fires with
// an old message.
void Msix::Connect(std::vector<Entry*> entries) {
  absl::Status status;
  std::erase_if(entries, [&](Entry* entry) {
    if (entry->vector != nullptr) return false;
    auto made = router_.CreateMsi();
    if (made.ok()) entry->vector = *std::move(made);
    if (!made.ok())
      log_.Warn(absl::StrCat("MSI-X: ", made.status().ToString()));
    return entry->vector == nullptr;
  });
  for (Entry* entry : entries) {
    entry->message.device_id = device_id_;
    status.Update(entry->vector->Route(entry->message));
  }
  if (status.ok()) status = router_.Commit();
  if (!status.ok()) {
    // A message the host refuses must not stay in the table of routes: it
    // would spoil every later commit.
    log_.Warn(absl::StrCat("MSI-X route: ", status.ToString()));
    for (Entry* entry : entries) {
      entry->connected = false;
      entry->vector->Mask().IgnoreError();
      entry->vector->Route(MsiMessage{}).IgnoreError();
    }
    return;
  }
  for (Entry* entry : entries) {
    status = entry->vector->Unmask();
    entry->connected = status.ok();
    if (!status.ok()) log_.Warn(absl::StrCat("MSI-X: ", status.ToString()));
  }
}

void Msix::Trigger(uint16_t vector) {
  if (vector >= entries_.size() || !entries_[vector].vector) return;
  entries_[vector].vector->Trigger();
}

int Msix::EventFdOf(uint16_t vector) const {
  if (vector >= entries_.size() || !entries_[vector].vector) return -1;
  return entries_[vector].vector->event_fd();
}

void Msix::Reset() {
  const std::lock_guard lock(mutex_);
  enabled_.store(false, std::memory_order_release);
  function_masked_ = false;
  Update(0, entries_.size(), /*message_changed=*/false);
  for (Entry& entry : entries_) {
    entry.message = MsiMessage{};
    entry.masked = true;
    if (entry.vector != nullptr) entry.vector->ClearPending();
  }
}

}  // namespace kvmlet::pci
