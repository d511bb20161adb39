// SPDX-License-Identifier: Apache-2.0
// How the monitor tells an arm64 guest which memory is lost: two GHESv2 error
// sources in RAM that the guest's ACPI tables describe, one for the vCPU that
// met the error, which takes an external abort, and one for errors that nobody
// met yet, which takes an event. A source holds one record, and the next one
// waits until the guest has acknowledged it. Reads of the guest memory decide
// nothing but that. Use from one thread at a time; addresses are
// guest-physical; a record that cannot be written is an error.
// Specification: ACPI 6.3, 18.3.2.8 "Generic Hardware Error Source version 2";
// UEFI 2.7, appendix N.2 "Common Platform Error Record".
#ifndef KVMLET_ARCH_ARM64_ERROR_SOURCE_H_
#define KVMLET_ARCH_ARM64_ERROR_SOURCE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "arch/common/bytes.h"
#include "vmm/memory/gpa.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::arm64 {

class ErrorSources {
 public:
  // Of the memory from `base` on, which the guest keeps for them.
  static constexpr uint64_t kSize = 0x1000;

  // By the number that the HEST gives it.
  enum class Source : uint16_t {
    kAbort = 0,  // notified by a synchronous external abort
    kEvent = 1,  // notified by an event of the generic event device
  };

  ErrorSources(const GuestMemory& memory, Gpa base)
      : memory_(memory), base_(base) {}

  // The state at power-on: nothing to acknowledge.
  absl::Status Reset() const;
  // Hardware Error Source Table, 18.3.2.
  Bytes BuildHest() const;
  // Writes the record of a lost page. False, and nothing written, when the
  // guest has not acknowledged the source's last one.
  absl::StatusOr<bool> Record(Source source, Gpa page);
  // Takes the last record back, of which the guest was not told.
  absl::Status Withdraw(Source source) const;

 private:
  Gpa AddressSlot(Source source) const;
  Gpa AckSlot(Source source) const;
  Gpa Block(Source source) const;

  const GuestMemory& memory_;
  const Gpa base_;
  uint64_t records_ = 0;
};

// The status block of a lost page: header, one section of a memory error.
// Linux takes a record for an old one when it has the same bytes: `number`
// tells them apart.
Bytes BuildErrorBlock(Gpa page, uint64_t number);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_ERROR_SOURCE_H_
