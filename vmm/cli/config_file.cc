// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/config_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kLargestFile = 1 << 20;
// A machine's description is three deep: object, array, object.
constexpr size_t kDeepest = 16;

// First pass over the text: where it stops being JSON, and what the second
// pass would accept silently, which is a key given twice.
class Checker : public nlohmann::json_sax<Json> {
 public:
  explicit Checker(std::string_view text) : text_(text) {}
  const std::string& error() const { return error_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    error_ = Cat({"'", name, "' is given twice"});
    return false;
  }

  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    const std::string_view before = text_.substr(0, position);
    const auto line = std::ranges::count(before, '\n') + 1;
    const size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
    error_ = Cat({"line ", std::to_string(line), ", column ",
                  std::to_string(before.size() - start),
                  ": not JSON here, at '", token.substr(0, 20), "'"});
    return false;
  }

 private:
  bool Open() {
    keys_.emplace_back();
    if (keys_.size() <= kDeepest) return true;
    error_ = "objects and arrays are nested too deep";
    return false;
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }

  std::string_view text_;
  std::vector<std::set<std::string>> keys_;
  std::string error_;
};

// The value as it would be typed; empty and false when there is no such way.
bool Scalar(const Json& value, std::string& out) {
  if (value.is_string()) {
    out = value.get_ref<const std::string&>();
    // No argument of a program can hold a NUL, so no flag expects one.
    return out.find('\0') == out.npos;
  }
  if (value.is_boolean()) out = value.get<bool>() ? "on" : "off";
  if (value.is_number_unsigned()) out = std::to_string(value.get<uint64_t>());
  return value.is_boolean() || value.is_number_unsigned();
}

// {"path": "a,b.img", "ro": true} -> "path=a,,b.img,ro=on".
absl::StatusOr<std::string> SpecText(const std::string& where,
                                     const Json& object) {
  std::string text;
  for (const auto& [key, value] : object.items()) {
    std::string word;
    if (!Scalar(value, word)) {
      return BadInput(
          Cat({where, ": '", key,
               "' must be a string, a whole number or true/false"}));
    }
    if (key.find_first_of(",=/") != key.npos) {
      return BadInput(Cat({where, ": unknown key '", key, "'"}));
    }
    if (!text.empty()) text += ',';
    text += Cat({key, "="});
    for (const char c : word) text += c == ',' ? ",," : std::string(1, c);
  }
  return text;
}

absl::StatusOr<std::string> ValueText(const std::string& where,
                                      const FlagSpec& flag, const Json& value) {
  std::string text;
  if (flag.type == FlagType::kBool) {
    if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
    return BadInput(Cat({where, ": must be true or false"}));
  }
  if (value.is_object() && !flag.keys.empty()) return SpecText(where, value);
  // true and false are no values for a flag that wants text.
  if (!value.is_boolean() && Scalar(value, text)) return text;
  return BadInput(
      Cat({where, ": must be a string", flag.keys.empty() ? "" : ", an object",
           " or a whole number, as in --", flag.name, " ", flag.value}));
}

absl::Status AddFlag(const std::string& name, std::span<const FlagSpec> flags,
                     const std::string& key, const Json& value,
                     std::vector<Setting>& settings) {
  const FlagSpec* flag = FindFlag(flags, key);
  const std::string where = Cat({name, ": ", key});
  if (flag == nullptr || flag->name == "config") {
    return BadInput(
        Cat({name, ": unknown key '", key, "'", DidYouMean(flags, key, ""),
             "; the keys are the flags of kvmlet run"}));
  }
  if (!flag->repeats) {
    KVMLET_ASSIGN_OR_RETURN(std::string text, ValueText(where, *flag, value));
    settings.push_back({flag, std::move(text), name});
    return absl::OkStatus();
  }
  if (!value.is_array()) {
    return BadInput(Cat({where, ": must be an array, one entry a device"}));
  }
  for (const Json& entry : value) {
    KVMLET_ASSIGN_OR_RETURN(std::string text, ValueText(where, *flag, entry));
    settings.push_back({flag, std::move(text), name});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::string context = Cat({"--config: open ", path});
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.ok()) return CannotOpen(errno, context);
  std::string text;
  char block[4096];
  while (true) {
    const ssize_t got = ::read(fd.get(), block, sizeof(block));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return CannotOpen(errno, Cat({"--config: read ", path}));
    if (got == 0) return text;
    text.append(block, static_cast<size_t>(got));
    if (text.size() > kLargestFile) {
      return BadInput(Cat({path, ": a configuration is at most 1 MiB"}));
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<Setting>> ParseConfig(
    std::string_view name, std::string_view text,
    std::span<const FlagSpec> flags) {
  Checker checker(text);
  if (!Json::sax_parse(text, &checker)) {
    return BadInput(Cat({name, ": ", checker.error()}));
  }
  const Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return BadInput(Cat({name,
                         ": must be one JSON object, as in "
                         "{\"kernel\": \"vmlinuz\"}"}));
  }
  std::vector<Setting> settings;
  for (const auto& [key, value] : root.items()) {
    KVMLET_RETURN_IF_ERROR(
        AddFlag(std::string(name), flags, key, value, settings));
  }
  return settings;
}

absl::StatusOr<std::vector<Setting>> ReadConfigFile(
    const std::string& path, std::span<const FlagSpec> flags) {
  KVMLET_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseConfig(path, text, flags);
}

}  // namespace kvmlet::cli
