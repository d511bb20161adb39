// SPDX-License-Identifier: Apache-2.0
// The door between JSON text and values: parsing that neither throws nor
// recurses without bound, and printing that is ASCII on one line whatever the
// strings hold. Thread-safe; no state. RFC 8259.
#ifndef KVMLET_VMM_CONTROL_JSON_H_
#define KVMLET_VMM_CONTROL_JSON_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace kvmlet {

// Objects are sorted trees: a client's object of 100,000 keys costs no more
// than its size.
using Json = nlohmann::json;

// Arrays and objects inside one another, at most.
inline constexpr size_t kMaxJsonDepth = 64;

// Nothing when the text is not one JSON value, or is nested too deeply.
std::optional<Json> ParseJson(std::string_view text);

// One line of ASCII; bytes that are no UTF-8 become U+FFFD.
std::string DumpJson(const Json& value);

// Several lines, indented by two, for people.
std::string PrettyJson(const Json& value);

// The member of an object, or null when it is absent or `value` is no object.
const Json* Member(const Json& value, const std::string& key);

// The member when it is a string, else an empty string.
std::string StringMember(const Json& value, const std::string& key);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_JSON_H_
