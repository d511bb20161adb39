// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/arg_walk.h"

#include <optional>
#include <utility>

#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

// "--name" or "--name=value" as typed.
struct Typed {
  std::string_view name;
  std::optional<std::string_view> value;
};

std::optional<Typed> AsFlag(std::string_view word) {
  if (!word.starts_with("--") || word.size() == 2) return std::nullopt;
  word.remove_prefix(2);
  const size_t equals = word.find('=');
  if (equals == word.npos) return Typed{word, std::nullopt};
  return Typed{word.substr(0, equals), word.substr(equals + 1)};
}

class Walker {
 public:
  Walker(std::string_view command, std::span<const FlagSpec> flags,
         std::span<const std::string> args)
      : command_(command), flags_(flags), args_(args) {}

  absl::StatusOr<ArgWalk> Walk();

 private:
  absl::Status TakeFlag(const Typed& typed);
  absl::Status TakeSwitch(const FlagSpec& flag, const Typed& typed, bool on);
  absl::Status TakeValue(const FlagSpec& flag, const Typed& typed);
  absl::Status Unknown(std::string_view word, std::string_view name) const;
  const FlagSpec* NegatedSwitch(std::string_view name) const;
  bool NextIsFlag() const;

  std::string_view command_;
  std::span<const FlagSpec> flags_;
  std::span<const std::string> args_;  // those not yet looked at
  ArgWalk walk_;
};

absl::StatusOr<ArgWalk> Walker::Walk() {
  while (!args_.empty()) {
    const std::string_view word = args_.front();
    args_ = args_.subspan(1);
    if (word == "--") break;
    if (word == "--help" || word == "-h") {
      walk_.help = true;
      return std::move(walk_);
    }
    if (const std::optional<Typed> typed = AsFlag(word)) {
      KVMLET_RETURN_IF_ERROR(TakeFlag(*typed));
    } else if (word.size() > 1 && word.front() == '-') {
      return Unknown(word, word.substr(1));
    } else {
      walk_.operands.emplace_back(word);
    }
  }
  walk_.operands.insert(walk_.operands.end(), args_.begin(), args_.end());
  return std::move(walk_);
}

absl::Status Walker::TakeFlag(const Typed& typed) {
  const FlagSpec* flag = FindFlag(flags_, typed.name);
  if (flag == nullptr) {
    const FlagSpec* negated = NegatedSwitch(typed.name);
    if (negated != nullptr) return TakeSwitch(*negated, typed, false);
    return Unknown(Cat({"--", typed.name}), typed.name);
  }
  if (flag->type == FlagType::kBool) return TakeSwitch(*flag, typed, true);
  return TakeValue(*flag, typed);
}

absl::Status Walker::TakeSwitch(const FlagSpec& flag, const Typed& typed,
                                bool on) {
  std::string_view value = on ? "true" : "false";
  if (typed.value) {
    value = SwitchValue(*typed.value);
    if (value.empty() || !on) {
      return UsageError(Cat({"--", typed.name, ": '", *typed.value,
                             "' is no value for a switch; write --", flag.name,
                             " or --no", flag.name}));
    }
  }
  walk_.settings.push_back({&flag, std::string(value), {}});
  return absl::OkStatus();
}

absl::Status Walker::TakeValue(const FlagSpec& flag, const Typed& typed) {
  std::string value;
  if (typed.value) {
    value = *typed.value;
  } else if (flag.type == FlagType::kOptionalValue &&
             (args_.empty() || args_.front().starts_with('-'))) {
    value = flag.implied;
  } else if (args_.empty() || NextIsFlag()) {
    // A value that reads like one of our flags was more likely forgotten.
    std::string message = Cat(
        {"--", flag.name, " needs a value: --", flag.name, " ", flag.value});
    if (!args_.empty()) {
      message += Cat({"; write --", flag.name, "=", args_.front(),
                      " if that is the value"});
    }
    return UsageError(message);
  } else {
    value = args_.front();
    args_ = args_.subspan(1);
  }
  walk_.settings.push_back({&flag, std::move(value), {}});
  return absl::OkStatus();
}

absl::Status Walker::Unknown(std::string_view word,
                             std::string_view name) const {
  return UsageError(Cat({"unknown flag ", word, DidYouMean(flags_, name, "--"),
                         "; see kvmlet ", command_, " --help"}));
}

const FlagSpec* Walker::NegatedSwitch(std::string_view name) const {
  if (!name.starts_with("no")) return nullptr;
  name.remove_prefix(2);
  if (name.starts_with('-')) name.remove_prefix(1);
  const FlagSpec* flag = FindFlag(flags_, name);
  if (flag == nullptr || flag->type != FlagType::kBool) return nullptr;
  return flag;
}

bool Walker::NextIsFlag() const {
  const std::optional<Typed> next = AsFlag(args_.front());
  return next && FindFlag(flags_, next->name) != nullptr;
}

}  // namespace

absl::StatusOr<ArgWalk> WalkArgs(std::string_view command,
                                 std::span<const FlagSpec> flags,
                                 std::span<const std::string> args) {
  return Walker(command, flags, args).Walk();
}

std::string_view SwitchValue(std::string_view text) {
  for (std::string_view word : {"true", "on", "yes", "1"}) {
    if (text == word) return "true";
  }
  for (std::string_view word : {"false", "off", "no", "0"}) {
    if (text == word) return "false";
  }
  return {};
}

std::string DidYouMean(std::span<const FlagSpec> flags, std::string_view name,
                       std::string_view dashes) {
  std::vector<std::string_view> names;
  for (const FlagSpec& flag : flags) names.push_back(flag.name);
  const std::string_view near = Nearest(name, names);
  if (near.empty()) return {};
  return Cat({" (did you mean ", dashes, near, "?)"});
}

}  // namespace kvmlet::cli
