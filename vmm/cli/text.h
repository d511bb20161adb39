// SPDX-License-Identifier: Apache-2.0
// Small text helpers of the command line: concatenation, padding, word wrap
// and "did you mean". Thread-safe; widths are in bytes (the texts are ASCII).
#ifndef KVMLET_VMM_CLI_TEXT_H_
#define KVMLET_VMM_CLI_TEXT_H_

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvmlet::cli {

std::string Cat(std::initializer_list<std::string_view> parts);
// `text`, then spaces up to `width`.
std::string Padded(std::string_view text, size_t width);
// Fills lines up to column 79; every line begins with `indent` spaces.
std::string Wrapped(std::string_view text, size_t indent);
// The candidate that `word` is most likely a slip of; empty when none is near.
std::string_view Nearest(std::string_view word,
                         std::span<const std::string_view> candidates);
// The parts between spaces.
std::vector<std::string_view> Words(std::string_view text);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_TEXT_H_
