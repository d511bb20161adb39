// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/stats_commands.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/status_macros.h"
#include "vmm/control/prometheus.h"

namespace kvmlet {
namespace {

const char* TypeName(StatType type) {
  switch (type) {
    case StatType::kCumulative:
      return "cumulative";
    case StatType::kInstant:
      return "instant";
    case StatType::kPeak:
      return "peak";
    case StatType::kLinearHistogram:
      return "linear-histogram";
    case StatType::kLogHistogram:
      return "log2-histogram";
  }
  return "cumulative";
}

const char* UnitName(StatUnit unit) {
  switch (unit) {
    case StatUnit::kNone:
      return nullptr;
    case StatUnit::kBytes:
      return "bytes";
    case StatUnit::kSeconds:
      return "seconds";
    case StatUnit::kCycles:
      return "cycles";
    case StatUnit::kBoolean:
      return "boolean";
  }
  return nullptr;
}

const char* TargetName(StatsTarget target) {
  return target == StatsTarget::kVm ? "vm" : "vcpu";
}

std::string CpuPath(uint32_t vcpu) {
  return absl::StrCat("/machine/cpu[", vcpu, "]");
}

// What of all there is the client wants.
struct Filter {
  StatsTarget target = StatsTarget::kVm;
  std::optional<std::set<std::string>> vcpus;  // qom paths
  // Providers, and their names when only some are wanted.
  std::optional<std::map<std::string, std::optional<std::set<std::string>>>>
      providers;

  bool Wants(const StatsGroup& group) const {
    if (group.target != target) return false;
    if (target == StatsTarget::kVcpu && vcpus &&
        !vcpus->contains(CpuPath(group.vcpu))) {
      return false;
    }
    return !providers || providers->contains(group.provider);
  }
  bool Wants(const StatsGroup& group, const std::string& name) const {
    if (!providers) return true;
    const auto& names = providers->at(group.provider);
    return !names || names->contains(name);
  }
};

absl::Status BadType(const char* name, const char* want) {
  return absl::InvalidArgumentError(absl::StrFormat(
      "Invalid parameter type for '%s', expected: %s", name, want));
}

absl::StatusOr<std::set<std::string>> Strings(const char* name,
                                              const Json& list) {
  std::set<std::string> strings;
  for (const Json& entry : list) {
    if (!entry.is_string()) return BadType(name, "string");
    strings.insert(entry.get<std::string>());
  }
  return strings;
}

absl::StatusOr<Filter> ParseFilter(const QmpArguments& arguments) {
  Filter filter;
  const std::string& target = arguments.String("target");
  if (target != "vm" && target != "vcpu") {
    return absl::InvalidArgumentError(absl::StrFormat(
        "Parameter 'target' does not accept value '%s'", target.substr(0, 64)));
  }
  if (target == "vcpu") filter.target = StatsTarget::kVcpu;
  if (const Json* vcpus = arguments.Find("vcpus")) {
    KVMLET_ASSIGN_OR_RETURN(filter.vcpus, Strings("vcpus", *vcpus));
  }
  const Json* providers = arguments.Find("providers");
  if (providers == nullptr) return filter;
  filter.providers.emplace();
  for (const Json& entry : *providers) {
    const std::string name = StringMember(entry, "provider");
    if (name.empty()) return BadType("provider", "string");
    auto& wanted = (*filter.providers)[name];
    const Json* names = Member(entry, "names");
    if (names == nullptr) continue;
    if (!names->is_array()) return BadType("names", "array");
    KVMLET_ASSIGN_OR_RETURN(wanted, Strings("names", *names));
  }
  return filter;
}

Json ValueOf(const Stat& stat) {
  if (stat.info.is_histogram()) return stat.values;
  if (stat.info.unit == StatUnit::kBoolean) return stat.values[0] != 0;
  return stat.values[0];
}

absl::StatusOr<Json> QueryStats(MachineControl& machine,
                                const QmpArguments& arguments) {
  KVMLET_ASSIGN_OR_RETURN(const Filter filter, ParseFilter(arguments));
  KVMLET_ASSIGN_OR_RETURN(const std::vector<StatsGroup> groups,
                          machine.Stats());
  Json results = Json::array();
  for (const StatsGroup& group : groups) {
    if (!filter.Wants(group)) continue;
    Json stats = Json::array();
    for (const Stat& stat : group.stats) {
      if (!filter.Wants(group, stat.info.name)) continue;
      stats.push_back({{"name", stat.info.name}, {"value", ValueOf(stat)}});
    }
    if (stats.empty()) continue;
    Json result = {{"provider", group.provider}, {"stats", std::move(stats)}};
    if (group.target == StatsTarget::kVcpu) {
      result["qom-path"] = CpuPath(group.vcpu);
    }
    results.push_back(std::move(result));
  }
  return results;
}

Json SchemaOf(const StatInfo& info) {
  Json schema = {{"name", info.name},
                 {"type", TypeName(info.type)},
                 {"exponent", info.exponent}};
  if (info.exponent != 0) schema["base"] = info.base;
  if (const char* unit = UnitName(info.unit)) schema["unit"] = unit;
  if (info.type == StatType::kLinearHistogram) {
    schema["bucket-size"] = info.bucket_size;
  }
  return schema;
}

absl::StatusOr<Json> QuerySchemas(MachineControl& machine,
                                  const QmpArguments& arguments) {
  const std::optional<std::string> wanted = arguments.MaybeString("provider");
  KVMLET_ASSIGN_OR_RETURN(const std::vector<StatsGroup> groups,
                          machine.Stats());
  Json results = Json::array();
  std::set<std::pair<StatsTarget, std::string>> seen;
  for (const StatsGroup& group : groups) {
    if (wanted && group.provider != *wanted) continue;
    if (!seen.emplace(group.target, group.provider).second) continue;
    Json schemas = Json::array();
    for (const Stat& stat : group.stats) {
      schemas.push_back(SchemaOf(stat.info));
    }
    results.push_back({{"provider", group.provider},
                       {"target", TargetName(group.target)},
                       {"stats", std::move(schemas)}});
  }
  return results;
}

}  // namespace

void RegisterStatsCommands(QmpRegistry& registry, MachineControl& machine) {
  registry.Register(
      "query-stats",
      {{.name = "target", .type = QmpType::kString},
       {.name = "vcpus", .type = QmpType::kArray, .optional = true},
       {.name = "providers", .type = QmpType::kArray, .optional = true}},
      [&machine](const QmpArguments& arguments) {
        return QueryStats(machine, arguments);
      });
  registry.Register(
      "query-stats-schemas",
      {{.name = "provider", .type = QmpType::kString, .optional = true}},
      [&machine](const QmpArguments& arguments) {
        return QuerySchemas(machine, arguments);
      });
  registry.Register(
      "__org.kvmlet_query-metrics",
      [&machine](const QmpArguments&) -> absl::StatusOr<Json> {
        KVMLET_ASSIGN_OR_RETURN(const std::vector<StatsGroup> groups,
                                machine.Stats());
        return Json{{"text", PrometheusText(machine.vm_name(), groups)}};
      });
}

}  // namespace kvmlet
