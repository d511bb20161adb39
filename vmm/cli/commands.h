// SPDX-License-Identifier: Apache-2.0
// The table of subcommands, and the program's entry: Main() finds the
// subcommand, parses its flags, and calls the handler that does the work. The
// return value is the process's exit status. Single thread, before any other.
#ifndef KVMLET_VMM_CLI_COMMANDS_H_
#define KVMLET_VMM_CLI_COMMANDS_H_

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "vmm/cli/flag_table.h"
#include "vmm/config.h"

namespace kvmlet::cli {

struct CommandSpec {
  std::string_view name;
  // What follows "kvmlet NAME" in the synopsis.
  std::string_view operands;
  std::string_view summary;
  // Paragraphs separated by newlines.
  std::string_view description;
  std::span<const FlagSpec> flags;
  // Completions of the operands, as in FlagSpec.
  std::string_view words;
};

std::span<const CommandSpec> Commands();
const CommandSpec* FindCommand(std::string_view name);

// `kvmlet exits FILE`, with at most one of the two.
struct ExitsRequest {
  std::string path;
  bool json = false;
  bool list = false;
};

struct Handlers {
  std::function<int(const VmConfig&)> run;
  // Everything after "ctl".
  std::function<int(std::span<const std::string>)> ctl;
  // Everything after "sriov".
  std::function<int(std::span<const std::string>)> sriov;
  std::function<int(const ExitsRequest&)> exits;
};

int Main(int argc, const char* const* argv, const Handlers& handlers);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_COMMANDS_H_
