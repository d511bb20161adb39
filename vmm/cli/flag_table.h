// SPDX-License-Identifier: Apache-2.0
// The one description of every flag: --help, the man page, the completion and
// the argument walk are made from it. Constant data, no state. A flag is named
// as it is typed, without its two dashes.
#ifndef KVMLET_VMM_CLI_FLAG_TABLE_H_
#define KVMLET_VMM_CLI_FLAG_TABLE_H_

#include <cstdint>
#include <span>
#include <string_view>

namespace kvmlet::cli {

// How a flag takes its value: never (--rng, --norng), always (--kernel PATH),
// or when the next word is not a flag (--on-hang [report]).
enum class FlagType : uint8_t { kBool, kValue, kOptionalValue };

// `words` of the two structs below are completions, separated by spaces; the
// word "@file" stands for file names, and one that ends in ':' is followed by
// a file name.

// One key of a flag's value: "ro" when `value` is empty, else "id=NAME".
struct KeySpec {
  std::string_view name;
  std::string_view value;
  std::string_view text;
  std::string_view words;
};

struct FlagSpec {
  std::string_view name;
  FlagType type = FlagType::kValue;
  // May be given more than once; each adds one thing.
  bool repeats = false;
  std::string_view section = {};
  // As in the synopsis: "PATH[,KEY...]".
  std::string_view value = {};
  std::string_view text = {};
  std::string_view words = {};
  // The key that the leading value may also be given by ("path=PATH"); in a
  // configuration file's objects it is the only way.
  std::string_view leading_key = {};
  std::span<const KeySpec> keys = {};
  // What "--flag" without a value means, for kOptionalValue.
  std::string_view implied = {};
};

std::span<const FlagSpec> RunFlags();
std::span<const FlagSpec> ExitsFlags();
std::span<const FlagSpec> DoctorFlags();

// '_' counts as '-'. Null when there is none.
const FlagSpec* FindFlag(std::span<const FlagSpec> flags,
                         std::string_view name);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_FLAG_TABLE_H_
