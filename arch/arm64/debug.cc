// SPDX-License-Identifier: Apache-2.0
// The debugger's contract on arm64: refused, in one line, until it is there.
#include "arch/debug.h"

#include "vmm/base/exit_status.h"

namespace kvmlet::arch {

absl::StatusOr<std::unique_ptr<Debug>> CreateDebug(const KvmSystem&) {
  return HostLacks("--gdb: kvmlet debugs x86-64 guests only; leave it out");
}

}  // namespace kvmlet::arch
