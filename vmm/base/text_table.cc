// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/text_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvmlet {

std::string TextTable(const std::vector<TextRow>& rows) {
  std::vector<size_t> widths;
  for (const TextRow& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const TextRow& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) {
        text.append(widths[i] - row[i].size() + 2, ' ');
      }
    }
    text += '\n';
  }
  return text;
}

std::string ShortTime(uint64_t nanoseconds) {
  if (nanoseconds < 1000) return absl::StrCat(nanoseconds, "ns");
  const char* unit = "s";
  double value = static_cast<double>(nanoseconds) / 1e9;
  if (nanoseconds < 1'000'000) {
    unit = "us";
    value *= 1e6;
  } else if (nanoseconds < 1'000'000'000) {
    unit = "ms";
    value *= 1e3;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f%s", decimals, value, unit);
}

}  // namespace kvmlet
