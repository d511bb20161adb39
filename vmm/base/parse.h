// SPDX-License-Identifier: Apache-2.0
// Parsers of what a person types: sizes ("512M", "1G"), durations ("90s",
// "500ms", "2m"), and device specifications ("key=value,flag,..."). Every
// error is one line that names the flag, what was given and what would be
// right. Thread-safe; sizes are in bytes.
#ifndef KVMLET_VMM_BASE_PARSE_H_
#define KVMLET_VMM_BASE_PARSE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvmlet {

// K, M, G, T are powers of 1024; a plain number is bytes. Overflow, zero
// digits, a sign or trailing text are InvalidArgument. `flag` is the name used
// in the error ("--memory").
absl::StatusOr<uint64_t> ParseSize(std::string_view flag,
                                   std::string_view text);
// us, ms, s, m, h; a plain number is seconds.
absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view flag,
                                                       std::string_view text);
// Decimal, or hexadecimal with 0x; from `low` to `high` inclusive.
absl::StatusOr<uint64_t> ParseNumber(std::string_view flag,
                                     std::string_view text, uint64_t low,
                                     uint64_t high);

// "first,key=value,flag": an optional leading positional value, then pairs and
// bare words; ",," stands for one comma inside a value. Use Take* for every key
// that is known, then Finish() for a clear error about the rest (or a key given
// twice).
class SpecParser {
 public:
  // With `positional`, text before the first comma is the positional value
  // when it has no '=', or a '/' before it ("./a=b.img" is a path).
  static absl::StatusOr<SpecParser> Parse(std::string_view flag,
                                          std::string_view text,
                                          bool positional);

  const std::string& flag() const { return flag_; }
  const std::string& positional() const { return positional_; }
  std::optional<std::string> Take(std::string_view key);
  // A bare word ("ro"), or "ro=on|off|yes|no|true|false".
  absl::StatusOr<bool> TakeBool(std::string_view key);
  // The same, where "not given" is a third answer.
  absl::StatusOr<std::optional<bool>> TakeOptionalBool(std::string_view key);
  absl::StatusOr<std::optional<uint64_t>> TakeSize(std::string_view key);
  absl::StatusOr<std::optional<uint64_t>> TakeNumber(std::string_view key,
                                                     uint64_t low,
                                                     uint64_t high);
  // Names every key that nobody took, and the keys that exist.
  absl::Status Finish() const;

 private:
  struct Item {
    std::string key;
    std::optional<std::string> value;
    bool taken = false;
  };
  std::string flag_;
  std::string positional_;
  std::vector<Item> items_;
  std::vector<std::string> known_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_PARSE_H_
