// SPDX-License-Identifier: Apache-2.0
// `kvmlet ctl SOCKET COMMAND...`: the QMP client for people. Results go to
// `out`, one-line errors to `err`; --help says what it takes.
//
// Thread-safe; no state. The status is 0, 1 (the command failed), 64 (usage),
// 69 (cannot connect) or 124 (no answer, or no event, in time).
#ifndef KVMLET_VMM_CONTROL_CTL_H_
#define KVMLET_VMM_CONTROL_CTL_H_

#include <ostream>
#include <span>
#include <string>

namespace kvmlet {

// `args` is what follows "kvmlet ctl".
int CtlMain(std::span<const std::string> args, std::ostream& out,
            std::ostream& err);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_CTL_H_
