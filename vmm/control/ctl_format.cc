// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl_format.h"

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/exits_text.h"
#include "vmm/base/stats.h"
#include "vmm/base/text_table.h"

namespace kvmlet {
namespace {

// A value as one word: strings without quotes, "-" for what is not there.
std::string Word(const Json* value) {
  if (value == nullptr || value->is_null()) return "-";
  if (value->is_string()) {
    const auto* text = value->get_ptr<const std::string*>();
    return text->empty() ? "-" : Printable(*text);
  }
  return DumpJson(*value);
}

std::string Word(const Json& object, const std::string& key) {
  return Word(Member(object, key));
}

int64_t Integer(const Json& object, const std::string& key) {
  const Json* value = Member(object, key);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>()
                                                        : 0;
}

std::string Status(const Json& result) { return Word(result, "status") + "\n"; }

std::string Version(const Json& result) {
  return Word(result, "package") + "\n";
}

// Text that is meant to be shown as it is.
std::string Text(const Json& result) {
  std::string text = Printable(StringMember(result, "text"));
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

std::string Cpus(const Json& result) {
  std::vector<TextRow> rows = {
      {"CPU", "TID", "SOCKET", "CORE", "THREAD", "EXITS"}};
  for (const Json& cpu : result) {
    const Json* props = Member(cpu, "props");
    const Json none = Json::object();
    const Json& place = props != nullptr ? *props : none;
    rows.push_back({Word(cpu, "cpu-index"), Word(cpu, "thread-id"),
                    Word(place, "socket-id"), Word(place, "core-id"),
                    Word(place, "thread-id"), Word(cpu, "__org.kvmlet_exits")});
  }
  return TextTable(rows);
}

std::string Devices(const Json& result) {
  std::vector<TextRow> rows = {{"ID", "TYPE", "ADDRESS", "BACKEND"}};
  for (const Json& device : result) {
    rows.push_back({Word(device, "id"), Word(device, "type"),
                    Word(device, "address"), Word(device, "backend")});
  }
  return TextTable(rows);
}

// A query's groups as they were, nothing when one is not of the vCPUs' exits.
std::optional<std::vector<StatsGroup>> ExitGroups(const Json& result) {
  std::vector<StatsGroup> groups;
  for (const Json& entry : result) {
    StatsGroup group{.target = StatsTarget::kVcpu,
                     .provider = StringMember(entry, "provider"),
                     .stats = {}};
    const std::string path = StringMember(entry, "qom-path");
    const Json* stats = Member(entry, "stats");
    const bool of_exits = group.provider == kExitsProvider ||
                          group.provider == kExitMonitorProvider ||
                          group.provider == kExitGuestProvider;
    if (!of_exits || stats == nullptr || !stats->is_array() ||
        std::sscanf(path.c_str(), "/machine/cpu[%u]", &group.vcpu) != 1) {
      return std::nullopt;
    }
    for (const Json& stat : *stats) {
      const Json* value = Member(stat, "value");
      if (value == nullptr || !value->is_number_unsigned()) continue;
      group.stats.push_back(
          {{.name = Word(stat, "name")}, {value->get<uint64_t>()}});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

std::string Stats(const Json& result) {
  // What `info exits` asks for.
  const auto exits = ExitGroups(result);
  if (exits && !exits->empty()) return ExitsText(*exits);
  std::vector<TextRow> rows = {{"TARGET", "PROVIDER", "NAME", "VALUE"}};
  for (const Json& group : result) {
    const Json* stats = Member(group, "stats");
    if (stats == nullptr || !stats->is_array()) continue;
    const bool vm = Member(group, "qom-path") == nullptr;
    for (const Json& stat : *stats) {
      rows.push_back({vm ? "vm" : Word(group, "qom-path"),
                      Word(group, "provider"), Word(stat, "name"),
                      Word(stat, "value")});
    }
  }
  return TextTable(rows);
}

std::string Mebibytes(const Json& object, const std::string& key) {
  return absl::StrCat(Integer(object, key) >> 20);
}

std::string MemoryDevices(const Json& result) {
  std::vector<TextRow> rows = {{"ID", "NODE", "PLUGGED", "REQUESTED", "MAX",
                                "BLOCK", "BACKING", "STATE"}};
  std::string reasons;
  for (const Json& device : result) {
    const Json* data = Member(device, "data");
    if (data == nullptr) continue;
    if (Word(device, "type") == "virtio-pmem") {
      const std::string size = Mebibytes(*data, "size") + "M";
      rows.push_back({Word(*data, "id"), "-", size, "-", size, "-",
                      Word(*data, "__org.kvmlet_backing"), "pmem"});
      continue;
    }
    const std::string state = Word(*data, "__org.kvmlet_state");
    rows.push_back({Word(*data, "id"), Word(*data, "node"),
                    Mebibytes(*data, "size") + "M",
                    Mebibytes(*data, "requested-size") + "M",
                    Mebibytes(*data, "max-size") + "M",
                    Mebibytes(*data, "block-size") + "M",
                    Word(*data, "__org.kvmlet_backing"), state});
    if (state != "complete") {
      absl::StrAppend(&reasons, Word(*data, "id"), ": ",
                      Word(*data, "__org.kvmlet_reason"), "\n");
    }
  }
  return TextTable(rows) + reasons;
}

std::string Commands(const Json& result) {
  std::string text;
  for (const Json& command : result) text += Word(command, "name") + "\n";
  return text;
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string safe(text);
  for (char& c : safe) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = byte < 0x20 || byte == 0x7f;
    if (control && c != '\n' && c != '\t') c = '?';
  }
  return safe;
}

std::string FormatResult(std::string_view command, const Json& result) {
  using Formatter = std::string (*)(const Json&);
  static constexpr std::pair<std::string_view, Formatter> kFormatters[] = {
      {"query-status", Status},
      {"query-version", Version},
      {"query-cpus-fast", Cpus},
      {"query-commands", Commands},
      {"query-memory-devices", MemoryDevices},
      {"__org.kvmlet_query-devices", Devices},
      {"__org.kvmlet_query-metrics", Text},
      {"__org.kvmlet_query-registers", Text},
      {"query-stats", Stats},
  };
  for (const auto& [name, format] : kFormatters) {
    if (name == command) return format(result);
  }
  if (result.is_null() || (result.is_object() && result.empty())) return "";
  return PrettyJson(result) + "\n";
}

std::string FormatEvent(const Json& event) {
  const Json* stamp = Member(event, "timestamp");
  const Json none = Json::object();
  const Json& when = stamp != nullptr ? *stamp : none;
  const time_t seconds = Integer(when, "seconds");
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::string text = absl::StrFormat(
      "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ %s", parts.tm_year + 1900,
      parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
      parts.tm_sec, Integer(when, "microseconds"), Word(event, "event"));
  if (const Json* data = Member(event, "data"); data && data->is_object()) {
    for (auto it = data->begin(); it != data->end(); ++it) {
      absl::StrAppend(&text, " ", Printable(it.key()), "=", Word(&*it));
    }
  }
  return text + "\n";
}

}  // namespace kvmlet
