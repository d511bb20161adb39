// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/doctor.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vmm/base/exit_status.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

using Json = nlohmann::json;

constexpr double kMillion = 1e6;
// A processor runs the loop at a thousand millions a second and an emulator in
// software at a few; a guest in a guest lies far above this line, too.
constexpr double kFullSpeed = 100 * kMillion;

std::string_view Name(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarn:
      return "warn";
    case Level::kMissing:
      return "missing";
  }
  return "";
}

std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

int HostLacksStatus() { return static_cast<int>(ExitStatus::kHostLacks); }

std::string AsLines(const std::vector<Finding>& findings, bool usable) {
  std::string text;
  for (const Finding& finding : findings) {
    text += Cat({Padded(Name(finding.level), 9), Padded(finding.what, 24),
                 finding.detail});
    if (!finding.remedy.empty()) text += Cat({"  (", finding.remedy, ")"});
    text += '\n';
  }
  text += usable ? "guests can run on this host\n"
                 : "guests cannot run on this host: see the lines that are "
                   "missing\n";
  return text;
}

std::string AsJson(const std::vector<Finding>& findings, bool usable) {
  Json checks = Json::array();
  for (const Finding& finding : findings) {
    checks.push_back({{"level", Name(finding.level)},
                      {"what", finding.what},
                      {"detail", finding.detail},
                      {"remedy", finding.remedy},
                      {"required", finding.required}});
  }
  return Dump({{"usable", usable}, {"checks", std::move(checks)}});
}

DoctorReport Probe(const Host& host, bool json) {
  const absl::StatusOr<double> speed = host.GuestInstructionsPerSecond();
  const bool full = speed.ok() && *speed >= kFullSpeed;
  const std::string millions = std::to_string(
      static_cast<uint64_t>(std::lround(speed.value_or(0) / kMillion)));
  DoctorReport report;
  report.exit_status = full ? 0 : HostLacksStatus();
  if (!speed.ok()) {
    report.text = Cat({"KVM does not run guest code: ",
                       std::string(speed.status().message())});
  } else if (full) {
    report.text = Cat({"KVM runs guest code at full speed, ", millions,
                       " million instructions a second"});
  } else {
    report.text = Cat({"KVM emulates guest kernel code, at ", millions,
                       " million instructions a second: a stock kernel will "
                       "not boot; use a host with hardware virtualisation"});
  }
  if (!json) {
    report.text += '\n';
    return report;
  }
  report.text = Dump({{"usable", full},
                      {"instructions_per_second", speed.value_or(0)},
                      {"detail", report.text}});
  return report;
}

bool Given(const ArgWalk& walk, std::string_view name) {
  bool given = false;
  for (const Setting& setting : walk.settings) {
    if (setting.flag->name == name) given = setting.value == "true";
  }
  return given;
}

}  // namespace

DoctorReport RunDoctor(const Host& host, const ArgWalk& walk) {
  const bool json = Given(walk, "json");
  if (Given(walk, "probe")) return Probe(host, json);
  const std::vector<Finding> findings = Examine(host);
  const bool usable =
      std::ranges::none_of(findings, [](const Finding& finding) {
        return finding.required && finding.level == Level::kMissing;
      });
  return {json ? AsJson(findings, usable) : AsLines(findings, usable),
          usable ? 0 : HostLacksStatus()};
}

}  // namespace kvmlet::cli
