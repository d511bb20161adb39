// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/lock_limit.h"

#include <sys/resource.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::vfio {
namespace {

constexpr unsigned kCapIpcLock = 14;

}  // namespace

LockLimit ReadLockLimit(const std::string& proc) {
  LockLimit limit;
  rlimit now{};
  if (::getrlimit(RLIMIT_MEMLOCK, &now) == 0) limit.bytes = now.rlim_cur;
  std::ifstream status(proc + "/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("CapEff:")) continue;
    const uint64_t set = std::strtoull(line.c_str() + 7, nullptr, 16);
    limit.exempt = (set >> kCapIpcLock & 1) != 0;
  }
  return limit;
}

absl::Status CheckLockLimit(const LockLimit& limit, uint64_t need) {
  if (limit.exempt || need <= limit.bytes) return absl::OkStatus();
  return OsRefused(
      ENOMEM,
      absl::StrCat("--vfio: devices need all of the guest's memory locked, ",
                   need >> 10, " KiB, and this process may lock ",
                   limit.bytes >> 10, " KiB; raise the limit with 'ulimit -l ",
                   need >> 10, "', or LimitMEMLOCK=", need,
                   " in a systemd unit"));
}

}  // namespace kvmlet::vfio
