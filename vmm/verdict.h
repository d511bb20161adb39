// SPDX-License-Identifier: Apache-2.0
// Why a run ended, the contract with test authors: the process's exit status
// and the same as JSON in the file of --verdict.
//
//   {"reason": "exit", "status": 7, "code": 7, "door": "verdict-port",
//    "text": "...", "wall_seconds": 3.1, "cpu_seconds": 2.9,
//    "registers": "vcpu 0: ...", "core": "guest.core"}
//
// "registers" has the backtraces too. "door" is missing when the guest used
// none, "text" and "registers" when there is nothing to say, "core" when no
// core file was written. Value types, thread-safe; times are in seconds.
#ifndef KVMLET_VMM_VERDICT_H_
#define KVMLET_VMM_VERDICT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "vmm/bus/guest_requests.h"
#include "vmm/control/json.h"

namespace kvmlet {

enum class VerdictReason {
  kPowerOff,       // "poweroff": status 0
  kExit,           // "exit": the guest chose `code`; 63 stands for more
  kQuit,           // "quit": the user ended it, status 0
  kPanic,          // "panic": 80
  kTripleFault,    // "triple-fault": 81
  kReset,          // "reset", with --on-reset exit: 82
  kKvmError,       // "kvm-error": 83
  kMemoryError,    // "memory-error": 84
  kTimeout,        // "timeout": 124
  kIdleTimeout,    // "idle-timeout": 124
  kSignal,         // "signal": 128 + `code`
  kNotStarted,     // "not-started": no guest ran; `code` is the status
  kInternalError,  // "internal-error": 70
};

std::string_view VerdictReasonName(VerdictReason reason);
std::string_view DoorName(Door door);

struct Verdict {
  VerdictReason reason = VerdictReason::kPowerOff;
  std::optional<Door> door{};
  uint64_t code = 0;
  std::string text{};
  std::string registers{};
  std::string core{};  // the file that --on-hang dump= asked for
  // --exit-code qemu: a status that the guest chose is 2 * code + 1.
  bool doubled = false;
  double wall_seconds = 0;
  double cpu_seconds = 0;

  int ExitStatus() const;
  Json ToJson() const;
  // Replaces the file as a whole; a FIFO or device is written to. The error
  // names --verdict.
  absl::Status Write(const std::string& path) const;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_VERDICT_H_
