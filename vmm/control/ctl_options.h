// SPDX-License-Identifier: Apache-2.0
// The command line of `kvmlet ctl`, taken apart: options may stand anywhere,
// the first other word is the socket, the rest is the command. Thread-safe; no
// state.
#ifndef KVMLET_VMM_CONTROL_CTL_OPTIONS_H_
#define KVMLET_VMM_CONTROL_CTL_OPTIONS_H_

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvmlet {

struct CtlOptions {
  bool help = false;
  bool json = false;
  bool wait = false;
  std::optional<std::chrono::nanoseconds> timeout;  // ten seconds when unset
  std::string wait_event;                           // empty: do not wait
  std::string socket;                               // without "unix:"
  std::vector<std::string> words;
};

absl::StatusOr<CtlOptions> ParseCtlOptions(std::span<const std::string> args);

// What --help prints.
std::string_view CtlUsage();

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_CTL_OPTIONS_H_
