// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/cli/arg_walk.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/completion.h"
#include "vmm/cli/doctor.h"
#include "vmm/cli/help.h"
#include "vmm/cli/man_page.h"
#include "vmm/cli/run_flags.h"
#include "vmm/cli/stderr_log.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

using Args = std::span<const std::string>;

void Print(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the reader is gone
    text.remove_prefix(static_cast<size_t>(written));
  }
}

int PrintOut(std::string_view text) {
  Print(STDOUT_FILENO, text);
  return 0;
}

int Fail(std::string_view who, const absl::Status& status) {
  Print(STDERR_FILENO, Cat({who, ": ", std::string(status.message()), "\n"}));
  return ExitStatusFor(status);
}

bool AsksForHelp(Args args) {
  return !args.empty() && (args[0] == "--help" || args[0] == "-h");
}

int Run(const CommandSpec& command, Args args, const Handlers& handlers) {
  const absl::StatusOr<ArgWalk> walk =
      WalkArgs(command.name, command.flags, args);
  if (!walk.ok()) return Fail("kvmlet run", walk.status());
  if (walk->help) return PrintOut(CommandHelp(command));
  const absl::StatusOr<VmConfig> config = BuildRunConfig(*walk);
  if (!config.ok()) return Fail("kvmlet run", config.status());
  const StderrLog log(config->log_level);
  return handlers.run(*config);
}

int Doctor(const CommandSpec& command, Args args) {
  const absl::StatusOr<ArgWalk> walk =
      WalkArgs(command.name, command.flags, args);
  if (!walk.ok()) return Fail("kvmlet doctor", walk.status());
  if (walk->help) return PrintOut(CommandHelp(command));
  if (!walk->operands.empty()) {
    return Fail("kvmlet doctor",
                UsageError(Cat(
                    {"unexpected argument '", walk->operands.front(), "'"})));
  }
  const DoctorReport report = RunDoctor(*ThisHost(), *walk);
  PrintOut(report.text);
  return report.exit_status;
}

int Exits(const CommandSpec& command, Args args, const Handlers& handlers) {
  constexpr std::string_view kWho = "kvmlet exits";
  const absl::StatusOr<ArgWalk> walk =
      WalkArgs(command.name, command.flags, args);
  if (!walk.ok()) return Fail(kWho, walk.status());
  if (walk->help) return PrintOut(CommandHelp(command));
  if (walk->operands.size() != 1) {
    return Fail(kWho, UsageError("name one FILE, as --trace-exits wrote it"));
  }
  ExitsRequest request{.path = walk->operands[0]};
  for (const Setting& setting : walk->settings) {
    bool& wanted = setting.flag->name == "json" ? request.json : request.list;
    wanted = setting.value == "true";
  }
  if (request.json && request.list) {
    return Fail(kWho, UsageError("--json and --list exclude one another"));
  }
  return handlers.exits(request);
}

int Help(Args args) {
  if (args.empty()) return PrintOut(ShortUsage());
  const CommandSpec* command = FindCommand(args[0]);
  if (command != nullptr) return PrintOut(CommandHelp(*command));
  return Fail("kvmlet help", UsageError(Cat({"there is no command '", args[0],
                                             "'; kvmlet help lists them"})));
}

int Completion(Args args) {
  if (args.size() == 1 && args[0] == "bash") return PrintOut(BashCompletion());
  return Fail("kvmlet completion",
              UsageError("say for which shell: kvmlet completion bash"));
}

int UnknownCommand(std::string_view name) {
  std::vector<std::string_view> names;
  for (const CommandSpec& command : Commands()) names.push_back(command.name);
  const std::string_view near = Nearest(name, names);
  const std::string hint =
      near.empty() ? "" : Cat({" (did you mean ", near, "?)"});
  // "kvmlet --kernel x": the flags are run's.
  const std::string_view what = name.starts_with('-') ? "flag" : "command";
  return Fail("kvmlet", UsageError(Cat({"unknown ", what, " '", name, "'", hint,
                                        "; see kvmlet help"})));
}

}  // namespace

int Main(int argc, const char* const* argv, const Handlers& handlers) {
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (words.empty()) {
    Print(STDERR_FILENO, ShortUsage());
    return static_cast<int>(ExitStatus::kUsage);
  }
  const std::string& name = words[0];
  const Args args = Args(words).subspan(1);
  if (name == "--version") return PrintOut("kvmlet " KVMLET_VERSION "\n");
  if (name == "--help" || name == "-h") return PrintOut(ShortUsage());
  const CommandSpec* command = FindCommand(name);
  if (command == nullptr) return UnknownCommand(name);
  // These three look for --help among their flags themselves.
  if (name == "run") return Run(*command, args, handlers);
  if (name == "exits") return Exits(*command, args, handlers);
  if (name == "doctor") return Doctor(*command, args);
  if (AsksForHelp(args)) return PrintOut(CommandHelp(*command));
  if (name == "help") return Help(args);
  if (name == "completion") return Completion(args);
  if (name == "man") return PrintOut(ManPage());
  const StderrLog log(LogLevel::kWarning);
  if (name == "sriov") return handlers.sriov(args);
  return handlers.ctl(args);
}

}  // namespace kvmlet::cli
