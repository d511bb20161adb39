// SPDX-License-Identifier: Apache-2.0
// The one place where an errno becomes an absl::Status: the context says what
// was tried, the errno's text and name say why it failed. Thread-safe.
#ifndef KVMLET_VMM_BASE_POSIX_ERROR_H_
#define KVMLET_VMM_BASE_POSIX_ERROR_H_

#include <string_view>

#include "absl/status/status.h"

namespace kvmlet {

// "open /dev/kvm: Permission denied (EACCES)".
absl::Status PosixError(int error_number, std::string_view context);

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_POSIX_ERROR_H_
