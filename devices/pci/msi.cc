// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/msi.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::pci {
namespace {

constexpr uint32_t kMaxVectors = 32;

}  // namespace

absl::Status Msi::Resize(size_t count) {
  if (entries_.size() > count) entries_.resize(count);
  while (entries_.size() < count) {
    Entry entry;
    KVMLET_ASSIGN_OR_RETURN(entry.vector, router_.CreateMsi());
    entries_.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

// The low bits of the data are the vector's number.
absl::Status Msi::Connect(const MsiRegisters& registers) {
  const auto low = static_cast<uint32_t>(entries_.size() - 1);
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    KVMLET_RETURN_IF_ERROR(entries_[i].vector->Route(
        {.address = registers.address,
         .data = (uint32_t{registers.data} & ~low) | i,
         .device_id = device_id_}));
  }
  KVMLET_RETURN_IF_ERROR(router_.Commit());
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    const bool wanted = (registers.mask >> i & 1) == 0;
    if (wanted == entries_[i].connected) continue;
    MsiVector& vector = *entries_[i].vector;
    KVMLET_RETURN_IF_ERROR(wanted ? vector.Unmask() : vector.Mask());
    entries_[i].connected = wanted;
  }
  return absl::OkStatus();
}

void Msi::Apply(const MsiRegisters& registers) {
  if (registers == applied_) return;
  applied_ = registers;
  const uint32_t count = std::clamp(registers.vectors, 1u, kMaxVectors);
  absl::Status status = Resize(registers.enabled ? count : 0);
  if (status.ok() && registers.enabled) status = Connect(registers);
  if (status.ok()) return;
  log_.Warn(absl::StrCat("MSI: ", status.ToString()));
  // A message the host refuses must not stay in the table of routes.
  entries_.clear();
}

int Msi::EventFdOf(size_t vector) const {
  return vector < entries_.size() ? entries_[vector].vector->event_fd() : -1;
}

uint32_t Msi::Pending() const {
  uint32_t bits = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].connected && entries_[i].vector->Pending()) {
      bits |= 1u << i;
    }
  }
  return bits;
}

}  // namespace kvmlet::pci
