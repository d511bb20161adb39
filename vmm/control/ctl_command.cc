// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl_command.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/parse.h"
#include "vmm/base/stats.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

struct Alias {
  std::string_view word;
  std::string_view command;
};

// Words that need no argument.
constexpr std::array kActions = {
    Alias{"status", "query-status"},
    Alias{"stop", "stop"},
    Alias{"cont", "cont"},
    Alias{"powerdown", "system_powerdown"},
    Alias{"reset", "system_reset"},
    Alias{"quit", "quit"},
    Alias{"metrics", "__org.kvmlet_query-metrics"},
};

// Words behind "info" whose command is not query-WORD.
constexpr std::array kInfo = {
    Alias{"cpus", "query-cpus-fast"},
    Alias{"devices", "__org.kvmlet_query-devices"},
    Alias{"registers", "__org.kvmlet_query-registers"},
};

template <size_t kSize>
std::string_view Lookup(const std::array<Alias, kSize>& table,
                        std::string_view word) {
  for (const Alias& alias : table) {
    if (alias.word == word) return alias.command;
  }
  return {};
}

absl::Status Usage(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s, see kvmlet ctl --help", text));
}

CtlCommand Plain(std::string_view command) {
  return CtlCommand{.request = {{"execute", command}},
                    .is_guess = false,
                    .ends_vm = command == "quit"};
}

// NAME [KEY=VALUE...]
absl::StatusOr<CtlCommand> Generic(std::span<const std::string> words) {
  CtlCommand command = Plain(words.front());
  command.is_guess = true;
  Json arguments = Json::object();
  for (const std::string& word : words.subspan(1)) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Usage(
          absl::StrFormat("'%s' is not an argument: write KEY=VALUE", word));
    }
    const std::string key = word.substr(0, equals);
    if (arguments.contains(key)) {
      return Usage(absl::StrFormat("'%s' is given twice", key));
    }
    arguments[key] = ParseCtlValue(word.substr(equals + 1));
  }
  if (!arguments.empty()) command.request["arguments"] = std::move(arguments);
  return command;
}

// The vCPUs' exits, and no other counter of theirs.
CtlCommand Exits() {
  CtlCommand command = Plain("query-stats");
  Json& arguments = command.request["arguments"];
  arguments["target"] = "vcpu";
  for (const char* provider :
       {kExitsProvider, kExitMonitorProvider, kExitGuestProvider}) {
    arguments["providers"].push_back({{"provider", provider}});
  }
  return command;
}

absl::StatusOr<CtlCommand> Info(std::span<const std::string> words) {
  if (words.size() != 2) {
    return Usage(
        "info takes one word: cpus, devices, exits, registers, status...");
  }
  const std::string& what = words[1];
  if (what == "exits") return Exits();
  if (const std::string_view own = Lookup(kInfo, what); !own.empty()) {
    return Plain(own);
  }
  CtlCommand command = Plain(absl::StrCat("query-", what));
  command.is_guess = true;
  return command;
}

absl::StatusOr<CtlCommand> Qmp(std::span<const std::string> words) {
  if (words.size() < 2) return Usage("qmp needs a command name or JSON");
  if (!words[1].starts_with("{")) return Generic(words.subspan(1));
  std::optional<Json> request = ParseJson(words[1]);
  if (!request || !request->is_object() ||
      StringMember(*request, "execute").empty()) {
    return Usage("qmp: not a JSON object with \"execute\"");
  }
  if (words.size() > 2) return Usage("qmp: nothing may follow the JSON");
  const bool ends_vm = StringMember(*request, "execute") == "quit";
  return CtlCommand{
      .request = *std::move(request), .is_guess = false, .ends_vm = ends_vm};
}

// qom-get ID PROPERTY, qom-set ID PROPERTY VALUE; or both with KEY=VALUE.
absl::StatusOr<CtlCommand> Qom(std::span<const std::string> words) {
  const bool set = words.front() == "qom-set";
  if (words.size() > 1 && words[1].starts_with("path=")) return Generic(words);
  if (words.size() != (set ? 4u : 3u)) {
    return Usage(set ? "qom-set takes ID PROPERTY VALUE"
                     : "qom-get takes ID PROPERTY");
  }
  CtlCommand command = Plain(words.front());
  Json& arguments = command.request["arguments"];
  arguments = {{"path", words[1]}, {"property", words[2]}};
  if (set) arguments["value"] = ParseCtlValue(words[3]);
  return command;
}

// resize ID SIZE
absl::StatusOr<CtlCommand> Resize(std::span<const std::string> words) {
  if (words.size() != 3) return Usage("resize takes ID SIZE");
  CtlCommand command = Plain("qom-set");
  KVMLET_ASSIGN_OR_RETURN(const uint64_t size, ParseSize("resize", words[2]));
  command.request["arguments"] = {
      {"path", words[1]}, {"property", "requested-size"}, {"value", size}};
  command.resizes = words[1];
  return command;
}

// dump FILE
absl::StatusOr<CtlCommand> Dump(std::span<const std::string> words) {
  if (words.size() != 2 || words[1].empty()) return Usage("dump takes FILE");
  // The monitor has a working directory of its own.
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(words[1], error);
  if (error) return Usage(absl::StrFormat("dump: no such path '%s'", words[1]));
  CtlCommand command = Plain("dump-guest-memory");
  command.is_long = true;
  command.request["arguments"] = {{"paging", true},
                                  {"protocol", "file:" + path.string()}};
  return command;
}

// Whole digits with an optional sign, as JSON has them.
std::optional<Json> Number(const std::string& text) {
  const char* const first = text.data();
  const char* const last = first + text.size();
  uint64_t natural = 0;
  if (const auto [end, error] = std::from_chars(first, last, natural);
      error == std::errc() && end == last) {
    return Json(natural);
  }
  int64_t integer = 0;
  if (const auto [end, error] = std::from_chars(first, last, integer);
      error == std::errc() && end == last) {
    return Json(integer);
  }
  return std::nullopt;
}

}  // namespace

Json ParseCtlValue(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  if (std::optional<Json> number = Number(text)) return *std::move(number);
  if (!text.empty() && (text[0] == '{' || text[0] == '[' || text[0] == '"')) {
    if (std::optional<Json> json = ParseJson(text)) return *std::move(json);
    return text;
  }
  // Only what looks like a size is one; anything else is a string.
  if (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    const absl::StatusOr<uint64_t> size = ParseSize("", text);
    if (size.ok()) return *size;
  }
  return text;
}

absl::StatusOr<CtlCommand> ParseCtlCommand(std::span<const std::string> words) {
  const std::string& word = words.front();
  if (word == "info") return Info(words);
  if (word == "qmp") return Qmp(words);
  if (word == "resize-disk") {
    if (words.size() != 2) return Usage("resize-disk takes the disk's ID");
    CtlCommand command = Plain("__org.kvmlet_resize-disk");
    command.request["arguments"] = {{"id", words[1]}};
    return command;
  }
  if (word == "balloon" && words.size() == 2) {
    CtlCommand command = Plain(word);
    const bool key = words[1].starts_with("value=");
    command.request["arguments"] = {
        {"value", ParseCtlValue(key ? words[1].substr(6) : words[1])}};
    return command;
  }
  if (word == "resize") return Resize(words);
  if (word == "dump") return Dump(words);
  if (word == "qom-get" || word == "qom-set") return Qom(words);
  const std::string_view action = Lookup(kActions, word);
  if (word != "events" && action.empty()) return Generic(words);
  if (words.size() > 1) {
    return Usage(absl::StrFormat("%s takes no argument", word));
  }
  if (word == "events") return CtlCommand{};
  return Plain(action);
}

}  // namespace kvmlet
