// SPDX-License-Identifier: Apache-2.0
// The arguments of `run`, one a line, or the text of a configuration file when
// it begins with '{'. Whatever it is, the answer is a valid configuration or
// one line with a status that says whose fault it is.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "vmm/base/exit_status.h"
#include "vmm/cli/config_file.h"
#include "vmm/cli/run_flags.h"

namespace kvmlet::cli {
namespace {

absl::StatusOr<VmConfig> FromFile(const std::string& text) {
  absl::StatusOr<std::vector<Setting>> settings =
      ParseConfig("vm.json", text, RunFlags());
  if (!settings.ok()) return settings.status();
  ArgWalk walk;
  walk.settings = *std::move(settings);
  return BuildRunConfig(walk);
}

absl::StatusOr<VmConfig> FromArgs(const std::string& text) {
  std::vector<std::string> args(1);
  for (const char c : text) {
    if (c == '\n') {
      args.emplace_back();
    } else if (c != '\0') {
      args.back() += c;
    }
  }
  absl::StatusOr<ArgWalk> walk = WalkArgs("run", RunFlags(), args);
  if (!walk.ok()) return walk.status();
  // It would read any file of this machine.
  std::erase_if(walk->settings, [](const Setting& setting) {
    return setting.flag->name == "config";
  });
  return BuildRunConfig(*walk);
}

void Check(const absl::StatusOr<VmConfig>& config) {
  if (config.ok()) {
    CHECK(config->Validate().ok());
    return;
  }
  const int status = ExitStatusFor(config.status());
  CHECK(status == 64 || status == 65) << config.status();
  CHECK(!config.status().message().empty());
}

}  // namespace
}  // namespace kvmlet::cli

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kvmlet::cli;
  const std::string text(reinterpret_cast<const char*>(data), size);
  Check(text.starts_with('{') ? FromFile(text) : FromArgs(text));
  return 0;
}
