// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/posix_error.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace kvmlet {

absl::Status PosixError(int error_number, std::string_view context) {
  const char* name = strerrorname_np(error_number);
  const char* text = strerrordesc_np(error_number);
  return absl::Status(
      absl::ErrnoToStatusCode(error_number),
      absl::StrCat(absl::string_view(context.data(), context.size()), ": ",
                   text != nullptr ? text : "unknown error", " (",
                   name != nullptr ? name : "?", ")"));
}

}  // namespace kvmlet
