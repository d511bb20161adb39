// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/parse.h"

#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

absl::Status Bad(std::string_view flag, std::string_view text,
                 std::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat(View(flag), ": '", View(text), "' is not ", View(want)));
}

// The digits at the start of `text`; the rest stays in `text`.
std::optional<uint64_t> TakeDigits(std::string_view& text) {
  int base = 10;
  std::string_view digits = text;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    base = 16;
    digits.remove_prefix(2);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(
      digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end == digits.data()) return std::nullopt;
  digits.remove_prefix(static_cast<size_t>(end - digits.data()));
  text = digits;
  return value;
}

// At single commas; two in a row are one comma of the text itself.
std::vector<std::string> SplitSpec(std::string_view text) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      parts.back().push_back(text[i]);
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      parts.back().push_back(',');
      ++i;
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

// "ro=1" is a pair, "./a=b.img" is a path: a key has no slash.
bool IsPair(std::string_view part) {
  const size_t equals = part.find('=');
  return equals != part.npos && part.substr(0, equals).find('/') == part.npos;
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(std::string_view flag,
                                   std::string_view text) {
  constexpr std::string_view kWant =
      "a size such as 4096, 512M or 2G (K, M, G, T are powers of 1024)";
  std::string_view rest = text;
  const std::optional<uint64_t> number = TakeDigits(rest);
  if (!number) return Bad(flag, text, kWant);
  unsigned shift = 0;
  if (!rest.empty()) {
    switch (rest.front() | 0x20) {
      case 'k':
        shift = 10;
        break;
      case 'm':
        shift = 20;
        break;
      case 'g':
        shift = 30;
        break;
      case 't':
        shift = 40;
        break;
      default:
        return Bad(flag, text, kWant);
    }
    rest.remove_prefix(1);
    if (rest == "iB" || rest == "B" || rest == "b") rest = {};
    if (!rest.empty()) return Bad(flag, text, kWant);
  }
  if (*number > (UINT64_MAX >> shift)) {
    return Bad(flag, text, "a size below 16 EiB");
  }
  return *number << shift;
}

absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view flag,
                                                       std::string_view text) {
  constexpr std::string_view kWant =
      "a duration such as 90s, 500ms or 2m (us, ms, s, m, h)";
  std::string_view rest = text;
  if (rest.starts_with("0x") || rest.starts_with("0X")) {
    return Bad(flag, text, kWant);
  }
  const std::optional<uint64_t> number = TakeDigits(rest);
  if (!number) return Bad(flag, text, kWant);
  uint64_t unit = 0;
  if (rest == "us") unit = 1'000;
  if (rest == "ms") unit = 1'000'000;
  if (rest.empty() || rest == "s") unit = 1'000'000'000;
  if (rest == "m") unit = 60'000'000'000;
  if (rest == "h") unit = 3'600'000'000'000;
  if (unit == 0) return Bad(flag, text, kWant);
  if (*number > static_cast<uint64_t>(INT64_MAX) / unit) {
    return Bad(flag, text, "a duration below 292 years");
  }
  return std::chrono::nanoseconds(static_cast<int64_t>(*number * unit));
}

absl::StatusOr<uint64_t> ParseNumber(std::string_view flag,
                                     std::string_view text, uint64_t low,
                                     uint64_t high) {
  std::string_view rest = text;
  const std::optional<uint64_t> number = TakeDigits(rest);
  if (!number || !rest.empty() || *number < low || *number > high) {
    return Bad(flag, text, absl::StrCat("a number from ", low, " to ", high));
  }
  return *number;
}

absl::StatusOr<SpecParser> SpecParser::Parse(std::string_view flag,
                                             std::string_view text,
                                             bool positional) {
  SpecParser parser;
  parser.flag_ = std::string(flag);
  bool first = true;
  for (const std::string& part : SplitSpec(text)) {
    if (std::exchange(first, false) && positional && !IsPair(part)) {
      parser.positional_ = part;
      continue;
    }
    if (part.empty()) continue;
    Item item;
    const size_t equals = part.find('=');
    item.key = part.substr(0, equals);
    if (equals != part.npos) item.value = part.substr(equals + 1);
    if (item.key.empty()) {
      return Bad(flag, text, "a list of key=value pairs");
    }
    for (const Item& other : parser.items_) {
      if (other.key == item.key) {
        return absl::InvalidArgumentError(
            absl::StrCat(View(flag), ": '", item.key, "' is given twice"));
      }
    }
    parser.items_.push_back(std::move(item));
  }
  return parser;
}

std::optional<std::string> SpecParser::Take(std::string_view key) {
  known_.emplace_back(key);
  for (Item& item : items_) {
    if (item.key != key || !item.value) continue;
    item.taken = true;
    return item.value;
  }
  return std::nullopt;
}

absl::StatusOr<bool> SpecParser::TakeBool(std::string_view key) {
  KVMLET_ASSIGN_OR_RETURN(const std::optional<bool> value,
                          TakeOptionalBool(key));
  return value.value_or(false);
}

absl::StatusOr<std::optional<bool>> SpecParser::TakeOptionalBool(
    std::string_view key) {
  known_.emplace_back(key);
  for (Item& item : items_) {
    if (item.key != key) continue;
    item.taken = true;
    const std::string v = item.value.value_or("on");
    if (v == "on" || v == "yes" || v == "true" || v == "1") {
      return std::optional<bool>(true);
    }
    if (v == "off" || v == "no" || v == "false" || v == "0") {
      return std::optional<bool>(false);
    }
    return Bad(absl::StrCat(flag_, " ", View(key)), v, "on or off");
  }
  return std::optional<bool>();
}

absl::StatusOr<std::optional<uint64_t>> SpecParser::TakeSize(
    std::string_view key) {
  const std::optional<std::string> value = Take(key);
  if (!value) return std::optional<uint64_t>();
  KVMLET_ASSIGN_OR_RETURN(
      const uint64_t size,
      ParseSize(absl::StrCat(flag_, " ", View(key)), *value));
  return std::optional<uint64_t>(size);
}

absl::StatusOr<std::optional<uint64_t>> SpecParser::TakeNumber(
    std::string_view key, uint64_t low, uint64_t high) {
  const std::optional<std::string> value = Take(key);
  if (!value) return std::optional<uint64_t>();
  KVMLET_ASSIGN_OR_RETURN(
      const uint64_t number,
      ParseNumber(absl::StrCat(flag_, " ", View(key)), *value, low, high));
  return std::optional<uint64_t>(number);
}

absl::Status SpecParser::Finish() const {
  for (const Item& item : items_) {
    if (item.taken) continue;
    for (const std::string& known : known_) {
      if (known != item.key) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          flag_, ": '", item.key, "' needs a value, as in ", item.key, "=..."));
    }
    return absl::InvalidArgumentError(
        absl::StrCat(flag_, ": unknown key '", item.key, "'; it takes ",
                     known_.empty() ? "none" : absl::StrJoin(known_, ", ")));
  }
  return absl::OkStatus();
}

}  // namespace kvmlet
