// SPDX-License-Identifier: Apache-2.0
// Short ways to call ParseRun() in tests.
#ifndef KVMLET_TESTS_VMM_CLI_PARSE_RUN_H_
#define KVMLET_TESTS_VMM_CLI_PARSE_RUN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/cli/run_flags.h"

namespace kvmlet::cli {

inline absl::StatusOr<VmConfig> Parse(std::vector<std::string> args) {
  return ParseRun(args);
}

// With a kernel, so that only what is tested can be wrong.
inline absl::StatusOr<VmConfig> ParseWith(std::vector<std::string> args) {
  args.insert(args.begin(), {"--kernel", "vmlinuz"});
  return ParseRun(args);
}

inline std::string ErrorOf(const absl::StatusOr<VmConfig>& config) {
  return std::string(config.status().message());
}

}  // namespace kvmlet::cli

#endif  // KVMLET_TESTS_VMM_CLI_PARSE_RUN_H_
