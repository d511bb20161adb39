// SPDX-License-Identifier: Apache-2.0
// Whether this process may lock as much memory as its guest's devices need.
// Thread-safe; no state; bytes. Specification: setrlimit(2), RLIMIT_MEMLOCK;
// capabilities(7), CAP_IPC_LOCK.
#ifndef KVMLET_DEVICES_VFIO_LOCK_LIMIT_H_
#define KVMLET_DEVICES_VFIO_LOCK_LIMIT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace kvmlet::vfio {

struct LockLimit {
  uint64_t bytes = 0;
  bool exempt = false;  // with CAP_IPC_LOCK nothing is counted
};
LockLimit ReadLockLimit(const std::string& proc = "/proc");

// Says what to raise, and to how much.
absl::Status CheckLockLimit(const LockLimit& limit, uint64_t need);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_LOCK_LIMIT_H_
