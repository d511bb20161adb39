// SPDX-License-Identifier: Apache-2.0
// The QMP commands about memory: QEMU's query-memory-devices and
// query-memory-size-summary, and kvmlet's own block map and fault injection.
//
// Threads: main loop's thread. QEMU's qapi/machine.json.
#ifndef KVMLET_VMM_CONTROL_MEMORY_COMMANDS_H_
#define KVMLET_VMM_CONTROL_MEMORY_COMMANDS_H_

#include "vmm/control/machine_control.h"
#include "vmm/control/qmp_registry.h"

namespace kvmlet {

// Both outlive every command that is run.
void RegisterMemoryCommands(QmpRegistry& registry, MachineControl& machine);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_MEMORY_COMMANDS_H_
