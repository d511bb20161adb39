// SPDX-License-Identifier: Apache-2.0
// The values of the flags whose devices are about the guest's memory.
#include <chrono>
#include <optional>
#include <string>

#include "vmm/base/parse.h"
#include "vmm/base/status_macros.h"
#include "vmm/cli/run_specs.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {

absl::StatusOr<BalloonConfig> ParseBalloon(std::string_view text) {
  constexpr uint64_t kLongestInterval = 86400;
  BalloonConfig balloon;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--balloon", text, false));
  KVMLET_ASSIGN_OR_RETURN(balloon.reporting, spec.TakeBool("reporting"));
  KVMLET_ASSIGN_OR_RETURN(balloon.deflate_on_oom,
                          spec.TakeBool("deflate-on-oom"));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> seconds,
                          spec.TakeNumber("stats", 0, kLongestInterval));
  balloon.stats_interval = std::chrono::seconds(seconds.value_or(0));
  if (std::optional<std::string> id = spec.Take("id")) {
    if (id->empty()) {
      return absl::InvalidArgumentError(
          "--balloon: id= is empty; give it a value, or leave it out");
    }
    balloon.id = *std::move(id);
  }
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  return balloon;
}

absl::StatusOr<PmemConfig> ParsePmem(std::string_view text) {
  PmemConfig pmem;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--pmem", text, true));
  const std::optional<std::string> named = spec.Take("file");
  pmem.path = named.value_or(spec.positional());
  if (pmem.path.empty() || (named && !spec.positional().empty())) {
    return absl::InvalidArgumentError(
        "--pmem needs the path of one file, as in --pmem file=disk.img");
  }
  KVMLET_ASSIGN_OR_RETURN(pmem.read_only, spec.TakeBool("ro"));
  KVMLET_ASSIGN_OR_RETURN(pmem.dax, spec.TakeBool("dax"));
  if (std::optional<std::string> id = spec.Take("id")) {
    if (id->empty()) {
      return absl::InvalidArgumentError(
          "--pmem: id= is empty; give it a value, or leave it out");
    }
    pmem.id = *std::move(id);
  }
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  return pmem;
}

}  // namespace kvmlet::cli
