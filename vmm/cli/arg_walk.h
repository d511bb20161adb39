// SPDX-License-Identifier: Apache-2.0
// The walk over a subcommand's arguments: which flags were given, with which
// values, in their order. It knows the flag table and nothing of what values
// mean; an error is one line with exit status 64. Thread-safe; no state.
#ifndef KVMLET_VMM_CLI_ARG_WALK_H_
#define KVMLET_VMM_CLI_ARG_WALK_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/cli/flag_table.h"

namespace kvmlet::cli {

// One flag as given. A switch's value is "true" or "false". `file` is the
// configuration file it comes from, empty for the command line.
struct Setting {
  const FlagSpec* flag = nullptr;
  std::string value;
  std::string file;
};

struct ArgWalk {
  std::vector<Setting> settings;
  std::vector<std::string> operands;
  // --help or -h was there; the rest is then of no interest.
  bool help = false;
};

// `command` names the subcommand in errors.
absl::StatusOr<ArgWalk> WalkArgs(std::string_view command,
                                 std::span<const FlagSpec> flags,
                                 std::span<const std::string> args);

// "true" or "false" for what a person writes for a switch, else empty.
std::string_view SwitchValue(std::string_view text);

// " (did you mean --kernel?)", or empty.
std::string DidYouMean(std::span<const FlagSpec> flags, std::string_view name,
                       std::string_view dashes);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_ARG_WALK_H_
