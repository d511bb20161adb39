// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/text.h"

#include <algorithm>

namespace kvmlet::cli {
namespace {

constexpr size_t kColumns = 79;

// Insertions, deletions, replacements, and swaps of two neighbours.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1);
  std::vector<size_t> now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = std::min(now[j], before[j - 2] + 1);
      }
    }
    before = last;
    last = now;
  }
  return last[b.size()];
}

}  // namespace

std::string Cat(std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (std::string_view part : parts) size += part.size();
  std::string text;
  text.reserve(size);
  for (std::string_view part : parts) text += part;
  return text;
}

std::string Padded(std::string_view text, size_t width) {
  std::string padded(text);
  if (padded.size() < width) padded.resize(width, ' ');
  return padded;
}

std::string Wrapped(std::string_view text, size_t indent) {
  std::string out;
  size_t column = 0;
  for (std::string_view word : Words(text)) {
    if (column != 0 && column + 1 + word.size() > kColumns) {
      out += '\n';
      column = 0;
    }
    const size_t gap = column == 0 ? indent : 1;
    out.append(gap, ' ').append(word);
    column += gap + word.size();
  }
  return out + '\n';
}

std::string_view Nearest(std::string_view word,
                         std::span<const std::string_view> candidates) {
  // A third of the letters may be wrong; longer slips are other words.
  constexpr size_t kLongest = 64;
  if (word.empty() || word.size() > kLongest) return {};
  size_t best = std::max<size_t>(1, word.size() / 3) + 1;
  std::string_view found;
  for (std::string_view candidate : candidates) {
    size_t distance = EditDistance(word, candidate);
    // "--mem" is meant as "--memory" whatever the number of missing letters.
    if (word.size() >= 3 && candidate.starts_with(word)) distance = 1;
    if (distance >= best) continue;
    best = distance;
    found = candidate;
  }
  return found;
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    if (space != 0) words.push_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return words;
}

}  // namespace kvmlet::cli
