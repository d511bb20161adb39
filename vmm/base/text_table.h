// SPDX-License-Identifier: Apache-2.0
// Tables and times as text for a terminal. Columns are as wide as their widest
// cell; a time has the unit that fits it.
//
// Thread-safe; no state.
#ifndef KVMLET_VMM_BASE_TEXT_TABLE_H_
#define KVMLET_VMM_BASE_TEXT_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace kvmlet {

using TextRow = std::vector<std::string>;

// One line a row; the last cell is not padded.
std::string TextTable(const std::vector<TextRow>& rows);

// "950ns", "1.25us", "13.0ms", "2.10s": three digits.
std::string ShortTime(uint64_t nanoseconds);

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_TEXT_TABLE_H_
