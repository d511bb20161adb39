// SPDX-License-Identifier: Apache-2.0
// From the words a person typed after `kvmlet ctl SOCKET` to the QMP request
// they mean. Thread-safe; no state. Errors are usage errors.
#ifndef KVMLET_VMM_CONTROL_CTL_COMMAND_H_
#define KVMLET_VMM_CONTROL_CTL_COMMAND_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "vmm/control/json.h"

namespace kvmlet {

struct CtlCommand {
  Json request;           // an object with "execute"; null for `events`
  bool is_guess = false;  // the name was not one of ours: it may not exist
  bool ends_vm = false;   // the VM may be gone before it answers
  bool is_long = false;   // it takes as long as the guest is large
  std::string resizes{};  // the memory device that --wait follows
};

absl::StatusOr<CtlCommand> ParseCtlCommand(std::span<const std::string> words);

// A typed value from the text behind "key=".
Json ParseCtlValue(const std::string& text);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_CTL_COMMAND_H_
