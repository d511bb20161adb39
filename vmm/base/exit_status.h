// SPDX-License-Identifier: Apache-2.0
// The process's exit status for an error, and how an absl::Status carries it:
// as a payload that the helpers below attach where the cause is known, so that
// main() never guesses. A status without the payload is mapped by its code
// (see ExitStatusFor). Thread-safe; no state.
#ifndef KVMLET_VMM_BASE_EXIT_STATUS_H_
#define KVMLET_VMM_BASE_EXIT_STATUS_H_

#include <string_view>

#include "absl/status/status.h"

namespace kvmlet {

// The part of the verdict contract that says why no guest ran.
enum class ExitStatus : int {
  kOk = 0,
  kUsage = 64,       // the command line is wrong
  kBadInput = 65,    // a kernel image, configuration or device is wrong
  kCannotOpen = 66,  // an input file cannot be opened
  kHostLacks = 69,   // KVM, a capability, VFIO, an IOMMU
  kInternal = 70,    // a bug in kvmlet
  kOsRefused = 71,   // memory, permission, a limit
};

// Attaches `exit` unless the status is OK or already carries one: the place
// nearest to the cause knows best.
absl::Status WithExitStatus(absl::Status status, ExitStatus exit);

// "PREFIX: message", with the same code and payloads.
absl::Status Prefixed(std::string_view prefix, const absl::Status& status);

absl::Status UsageError(std::string_view message);
absl::Status BadInput(std::string_view message);
// "--kernel: open vmlinuz: No such file or directory (ENOENT)".
absl::Status CannotOpen(int error_number, std::string_view context);
absl::Status HostLacks(std::string_view message);
absl::Status OsRefused(int error_number, std::string_view context);

// The attached status; without one, by code: InvalidArgument, OutOfRange and
// DataLoss are 65, NotFound and PermissionDenied 66, Unimplemented,
// FailedPrecondition and Unavailable 69, Internal and Unknown 70, and the rest
// (ResourceExhausted, Aborted, ...) 71. OK is 0.
int ExitStatusFor(const absl::Status& status);

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_EXIT_STATUS_H_
