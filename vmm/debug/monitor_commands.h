// SPDX-License-Identifier: Apache-2.0
// What `monitor COMMAND` of gdb does: the debugger's own view of the machine,
// for people. Commands are words; unknown ones get a line that names `help`.
// Threads: the main loop's, the machine stopped.
#ifndef KVMLET_VMM_DEBUG_MONITOR_COMMANDS_H_
#define KVMLET_VMM_DEBUG_MONITOR_COMMANDS_H_

#include <string>
#include <string_view>

#include "vmm/debug/debugger.h"

namespace kvmlet {

struct MonitorResult {
  bool ok = true;
  std::string text{};
  bool quit = false;  // the machine is to end
};

// `vcpu` is the one that the client looks at.
MonitorResult RunMonitorCommand(std::string_view line, Debugger& debugger,
                                size_t vcpu);

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_MONITOR_COMMANDS_H_
