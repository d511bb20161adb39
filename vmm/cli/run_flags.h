// SPDX-License-Identifier: Apache-2.0
// From the arguments of `kvmlet run` to a VmConfig. The flags are declared in
// gflags; the values live there only while a call builds its VmConfig. Not
// thread-safe (gflags' registry is the process's): call it before the first
// thread. Errors are one line with exit status 64, or 65 and 66 for what comes
// from a --config file.
#ifndef KVMLET_VMM_CLI_RUN_FLAGS_H_
#define KVMLET_VMM_CLI_RUN_FLAGS_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/cli/arg_walk.h"
#include "vmm/cli/flag_table.h"
#include "vmm/config.h"

namespace kvmlet::cli {

// `args` is what follows "run". The result has passed VmConfig::Validate().
absl::StatusOr<VmConfig> ParseRun(std::span<const std::string> args);

// The second half of ParseRun().
absl::StatusOr<VmConfig> BuildRunConfig(const ArgWalk& walk);

// What a flag of `run` is when it is not given, as typed; may be empty.
std::string DefaultOf(const FlagSpec& flag);

// The names of all flags that are declared in gflags for `run`.
std::vector<std::string> RegisteredRunFlags();

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_RUN_FLAGS_H_
