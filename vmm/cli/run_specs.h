// SPDX-License-Identifier: Apache-2.0
// Parsers of the values of run's flags that have a shape of their own, one
// function a flag. An error is one line that begins with the flag's name. What
// concerns several flags at once is VmConfig::Validate()'s. Thread-safe; no
// state; sizes are in bytes.
#ifndef KVMLET_VMM_CLI_RUN_SPECS_H_
#define KVMLET_VMM_CLI_RUN_SPECS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/config.h"

namespace kvmlet::cli {

absl::StatusOr<CpuConfig> ParseCpus(std::string_view text);
absl::StatusOr<MemoryConfig> ParseMemory(std::string_view text);
absl::StatusOr<NumaNodeConfig> ParseNuma(std::string_view text);
absl::StatusOr<DiskConfig> ParseDisk(std::string_view text);
absl::StatusOr<NetConfig> ParseNet(std::string_view text);
absl::StatusOr<PmemConfig> ParsePmem(std::string_view text);
absl::StatusOr<BalloonConfig> ParseBalloon(std::string_view text);
// One device; several with "env:NAME", the list that a scheduler leaves in the
// environment.
absl::StatusOr<std::vector<VfioConfig>> ParseVfio(std::string_view text);
absl::StatusOr<uint64_t> ParseVsock(std::string_view text);
absl::StatusOr<SerialConfig> ParseSerial(std::string_view text);
// "unix:PATH" -> "PATH".
absl::StatusOr<std::string> ParseQmp(std::string_view text);
absl::StatusOr<GdbConfig> ParseGdb(std::string_view text);
// Checks "PATH" or "fd:N".
absl::StatusOr<std::string> ParseEvents(std::string_view text);
absl::StatusOr<HangConfig> ParseOnHang(std::string_view text);
absl::StatusOr<TraceExitsConfig> ParseTraceExits(std::string_view text);
absl::StatusOr<OnReset> ParseOnReset(std::string_view text);
absl::StatusOr<ExitCode> ParseExitCode(std::string_view text);
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_RUN_SPECS_H_
