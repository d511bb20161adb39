// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl_options.h"

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "vmm/base/parse.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr std::string_view kUsage =
    R"(usage: kvmlet ctl [OPTION...] SOCKET COMMAND...

Controls a running VM through the socket given to `kvmlet run --qmp`.

commands
  status                 running, paused, guest-panicked, ...
  stop, cont             pause the vCPUs, let them run again
  powerdown              press the power button; the guest may shut down
  reset                  reset the machine
  quit                   end the VM at once
  info cpus              vCPUs, their threads and exits
  info exits             why the vCPUs left the guest, how often, and what it
                         cost if run with --trace-exits
  info devices           devices and what is behind them
  info registers         every vCPU's registers
  info status|version|commands
  metrics                KVM's counters and ours, as Prometheus scrapes them
  query-stats target=vm|vcpu
                         the same as a table, or JSON
  info WHAT              any other query-WHAT command
  info memory-devices    memory that the guest plugs and unplugs
  resize ID SIZE         ask the guest to plug or unplug up to this size
  resize-disk ID         tell the guest that a disk's file was resized
  dump FILE              write the guest's memory and registers, for gdb, crash
                         and drgn; the guest stands still meanwhile
  balloon SIZE           how much memory the guest shall keep; info balloon
  qom-get ID PROPERTY    a property of a device
  qom-set ID PROPERTY VALUE
  device_add driver=vfio-pci id=ID host=BDF
                         pass a PCI function of the host through
  device_del id=ID       ask the guest to give it up; add
                         --wait-event DEVICE_DELETED to wait until it has,
                         or __org.kvmlet_force=true to take it at once
  events                 print events until the VM ends
  qmp NAME [KEY=VALUE...]
  qmp 'JSON'             send a command, or a whole request, as it is
  NAME [KEY=VALUE...]    any other QMP command, see `info commands`

A VALUE is a number (1G is 1073741824), true, false, JSON, or else a string;
quotes keep a string that looks like something else: id='"7"'.

options
  --json                 print results and events as JSON, one a line
  --timeout DURATION     give up after 500ms, 10s (default), 2m
  --wait                 with resize: until the guest has done so, 60s
  --wait-event NAME      then wait for an event, for example SHUTDOWN
  --help

exit status
  0 done   1 the command failed   64 usage   69 cannot connect
  124 no answer, or no such event, in time
)";

// The value of "--name VALUE" or "--name=VALUE"; nothing when `args[at]` is
// another word. Moves `at` to the last word it used.
absl::StatusOr<std::optional<std::string>> TakeValue(
    std::string_view name, std::span<const std::string> args, size_t& at) {
  const std::string& word = args[at];
  if (word == name) {
    if (at + 1 == args.size()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s needs a value", name));
    }
    return args[++at];
  }
  if (word.starts_with(name) && word[name.size()] == '=') {
    return word.substr(name.size() + 1);
  }
  return std::nullopt;
}

// True when `args[at]` was an option.
absl::StatusOr<bool> TakeOption(std::span<const std::string> args, size_t& at,
                                CtlOptions& options) {
  const std::string word = args[at];
  if (word == "--help" || word == "-h") {
    options.help = true;
    return true;
  }
  if (word == "--wait") {
    options.wait = true;
    return true;
  }
  if (word == "--json") {
    options.json = true;
    return true;
  }
  KVMLET_ASSIGN_OR_RETURN(std::optional<std::string> value,
                          TakeValue("--timeout", args, at));
  if (value) {
    KVMLET_ASSIGN_OR_RETURN(options.timeout,
                            ParseDuration("--timeout", *value));
    return true;
  }
  KVMLET_ASSIGN_OR_RETURN(value, TakeValue("--wait-event", args, at));
  if (value) {
    if (value->empty()) {
      return absl::InvalidArgumentError("--wait-event needs a name");
    }
    options.wait_event = *value;
    return true;
  }
  if (word.starts_with("--")) {
    return absl::InvalidArgumentError(
        absl::StrFormat("unknown option %s: see kvmlet ctl --help", word));
  }
  return false;
}

}  // namespace

absl::StatusOr<CtlOptions> ParseCtlOptions(std::span<const std::string> args) {
  CtlOptions options;
  bool only_words = false;
  std::vector<std::string> words;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!only_words && args[i] == "--") {
      only_words = true;
      continue;
    }
    if (!only_words) {
      KVMLET_ASSIGN_OR_RETURN(const bool taken, TakeOption(args, i, options));
      if (taken) continue;
    }
    words.push_back(args[i]);
  }
  if (options.help) return options;
  if (words.empty()) {
    return absl::InvalidArgumentError(
        "no socket given: kvmlet ctl SOCKET COMMAND, see kvmlet ctl --help");
  }
  options.socket = words.front();
  if (options.socket.starts_with("unix:")) options.socket.erase(0, 5);
  options.words.assign(words.begin() + 1, words.end());
  if (options.words.empty() && options.wait_event.empty()) {
    return absl::InvalidArgumentError(
        "no command given: kvmlet ctl SOCKET COMMAND, see kvmlet ctl --help");
  }
  return options;
}

std::string_view CtlUsage() { return kUsage; }

}  // namespace kvmlet
