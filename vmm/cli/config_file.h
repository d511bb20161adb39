// SPDX-License-Identifier: Apache-2.0
// The JSON configuration file: one object whose keys are the flags of `run`,
// turned into the same settings that the argument walk makes, so that both are
// parsed by the same code. Every error names the file and the key and carries
// exit status 65 (66 when the file cannot be read). Thread-safe; no state.
#ifndef KVMLET_VMM_CLI_CONFIG_FILE_H_
#define KVMLET_VMM_CLI_CONFIG_FILE_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/cli/arg_walk.h"
#include "vmm/cli/flag_table.h"

namespace kvmlet::cli {

absl::StatusOr<std::vector<Setting>> ReadConfigFile(
    const std::string& path, std::span<const FlagSpec> flags);

// `name` is the file's name in errors.
absl::StatusOr<std::vector<Setting>> ParseConfig(
    std::string_view name, std::string_view text,
    std::span<const FlagSpec> flags);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_CONFIG_FILE_H_
