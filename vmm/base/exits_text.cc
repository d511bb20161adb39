// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/exits_text.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vmm/base/text_table.h"

namespace kvmlet {
namespace {

struct Exits {
  uint64_t count = 0;
  uint64_t monitor_ns = 0;
  uint64_t guest_ns = 0;
};

struct Line {
  uint32_t vcpu;
  std::string reason;
  Exits exits;
};

// Each vCPU's lines, the most frequent reason first.
std::vector<Line> Lines(std::span<const StatsGroup> groups, bool& timed) {
  std::map<std::pair<uint32_t, std::string>, Exits> all;
  for (const StatsGroup& group : groups) {
    for (const Stat& stat : group.stats) {
      if (stat.values.empty()) continue;
      const auto add = [&](uint64_t Exits::*field) {
        all[{group.vcpu, stat.info.name}].*field += stat.values[0];
      };
      if (group.provider == kExitsProvider) add(&Exits::count);
      if (group.provider == kExitMonitorProvider) add(&Exits::monitor_ns);
      if (group.provider == kExitGuestProvider) add(&Exits::guest_ns);
    }
    timed = timed || group.provider == kExitMonitorProvider;
  }
  std::vector<Line> lines;
  for (const auto& [key, exits] : all) {
    lines.push_back({key.first, key.second, exits});
  }
  std::ranges::stable_sort(lines, [](const Line& a, const Line& b) {
    if (a.vcpu != b.vcpu) return a.vcpu < b.vcpu;
    return a.exits.count > b.exits.count;
  });
  return lines;
}

}  // namespace

std::string ExitsText(std::span<const StatsGroup> groups) {
  bool timed = false;
  const std::vector<Line> lines = Lines(groups, timed);
  std::vector<TextRow> rows = {{"CPU", "REASON", "EXITS"}};
  if (timed) rows[0].insert(rows[0].end(), {"MONITOR", "MEAN", "GUEST"});
  for (const Line& line : lines) {
    const Exits& exits = line.exits;
    TextRow row = {absl::StrCat(line.vcpu), line.reason,
                   absl::StrCat(exits.count)};
    if (timed) {
      row.push_back(ShortTime(exits.monitor_ns));
      row.push_back(
          ShortTime(exits.monitor_ns / std::max<uint64_t>(exits.count, 1)));
      row.push_back(ShortTime(exits.guest_ns));
    }
    rows.push_back(std::move(row));
  }
  return TextTable(rows);
}

}  // namespace kvmlet
