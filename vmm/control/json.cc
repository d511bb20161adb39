// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/json.h"

namespace kvmlet {
namespace {

// The parser keeps its own stack, but values are copied and printed
// recursively: deep text is refused before a value exists.
bool TooDeep(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if ((c == '{' || c == '[') && ++depth > kMaxJsonDepth) return true;
    if ((c == '}' || c == ']') && depth > 0) --depth;
  }
  return false;
}

}  // namespace

std::optional<Json> ParseJson(std::string_view text) {
  if (TooDeep(text)) return std::nullopt;
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return std::nullopt;
  return value;
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true,
                    Json::error_handler_t::replace);
}

std::string PrettyJson(const Json& value) {
  return value.dump(2, ' ', /*ensure_ascii=*/true,
                    Json::error_handler_t::replace);
}

const Json* Member(const Json& value, const std::string& key) {
  if (!value.is_object()) return nullptr;
  const auto it = value.find(key);
  return it == value.end() ? nullptr : &*it;
}

std::string StringMember(const Json& value, const std::string& key) {
  const Json* member = Member(value, key);
  if (member == nullptr || !member->is_string()) return "";
  return *member->get_ptr<const std::string*>();
}

}  // namespace kvmlet
