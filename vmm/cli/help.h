// SPDX-License-Identifier: Apache-2.0
// The texts of --help, made from the tables of commands and flags, and the
// table of exit statuses that the manual page shows too. Thread-safe; no state.
#ifndef KVMLET_VMM_CLI_HELP_H_
#define KVMLET_VMM_CLI_HELP_H_

#include <span>
#include <string>
#include <string_view>

#include "vmm/cli/commands.h"
#include "vmm/cli/flag_table.h"

namespace kvmlet::cli {

struct StatusText {
  std::string_view status;
  std::string_view text;
};
std::span<const StatusText> ExitStatuses();

// "--[no]rng", "--disk PATH[,KEY...]", "--on-hang [KEY...]".
std::string FlagSyntax(const FlagSpec& flag);
// The flag's text with its default and whether it may be repeated.
std::string FlagText(const FlagSpec& flag);
// "id=NAME", "ro".
std::string KeySyntax(const KeySpec& key);

// A few lines: what there is to type.
std::string ShortUsage();
std::string CommandHelp(const CommandSpec& command);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_HELP_H_
