// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/help.h"

#include <algorithm>
#include <array>

#include "vmm/cli/run_flags.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {

std::span<const StatusText> ExitStatuses() {
  static constexpr StatusText kStatuses[] = {
      {"0", "The guest powered off, or chose 0."},
      {"1-63",
       "Chosen by the guest; larger values become 63, the verdict file "
       "has the full value."},
      {"64", "The command line is wrong."},
      {"65", "Bad input: a kernel image, a configuration file, a device."},
      {"66", "An input file cannot be opened."},
      {"69", "The host lacks something: KVM, a capability, a device."},
      {"70", "An error inside kvmlet."},
      {"71", "The host's operating system refused: memory, a permission."},
      {"80", "The guest's kernel panicked."},
      {"81", "Triple fault or shutdown event."},
      {"82", "The guest reset, with --on-reset exit."},
      {"83", "KVM could not run the guest."},
      {"84", "A memory error that the guest could not survive."},
      {"124", "--timeout or --idle-timeout is over."},
      {"128+N", "Killed by signal N."},
  };
  return kStatuses;
}

std::string FlagSyntax(const FlagSpec& flag) {
  switch (flag.type) {
    case FlagType::kBool:
      return Cat({"--[no]", flag.name});
    case FlagType::kValue:
      return Cat({"--", flag.name, " ", flag.value});
    case FlagType::kOptionalValue:
      return Cat({"--", flag.name, " [", flag.value, "]"});
  }
  return {};
}

std::string FlagText(const FlagSpec& flag) {
  std::string text(flag.text);
  if (flag.repeats) text += " May be given more than once.";
  const std::string value = DefaultOf(flag);
  if (value.empty()) return text;
  if (flag.type != FlagType::kBool)
    return Cat({text, " Default: ", value, "."});
  return Cat({text, value == "true" ? " Default: on." : " Default: off."});
}

std::string KeySyntax(const KeySpec& key) {
  return key.value.empty() ? std::string(key.name)
                           : Cat({key.name, "=", key.value});
}

std::string ShortUsage() {
  std::string text = "usage: kvmlet COMMAND [ARGUMENT...]\n\n";
  for (const CommandSpec& command : Commands()) {
    text += Cat({"  ", Padded(command.name, 12), command.summary, "\n"});
  }
  return text + "\nkvmlet COMMAND --help says more; kvmlet --version.\n";
}

std::string CommandHelp(const CommandSpec& command) {
  std::string text =
      Cat({"usage: kvmlet ", command.name, command.operands.empty() ? "" : " ",
           command.operands, "\n"});
  std::string_view rest = command.description;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    text += '\n' + Wrapped(rest.substr(0, end), 0);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::string_view section;
  for (const FlagSpec& flag : command.flags) {
    if (flag.section != section) text += Cat({"\n", flag.section, ":\n"});
    section = flag.section;
    text += Cat({"  ", FlagSyntax(flag), "\n", Wrapped(FlagText(flag), 8)});
    for (const KeySpec& key : flag.keys) {
      text += Cat({"          ", Padded(KeySyntax(key), 17), " "});
      // The first line continues the key's; the others stand below the text.
      text += Wrapped(key.text, 28).substr(28);
    }
  }
  return text;
}

}  // namespace kvmlet::cli
