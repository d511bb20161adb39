// SPDX-License-Identifier: Apache-2.0
// The QMP commands that every machine has: state, power, vCPUs, devices. Names
// and fields are QEMU's where QEMU has the thing; ours begin with
// "__org.kvmlet_". Features with commands of their own register them beside
// these.
//
// Threads: the main loop's thread only. QEMU's qapi/*.json.
#ifndef KVMLET_VMM_CONTROL_QMP_COMMANDS_H_
#define KVMLET_VMM_CONTROL_QMP_COMMANDS_H_

#include <string_view>

#include "vmm/control/json.h"
#include "vmm/control/machine_control.h"
#include "vmm/control/qmp_registry.h"

namespace kvmlet {

// Both outlive every command that is run.
void RegisterMachineCommands(QmpRegistry& registry, MachineControl& machine);

// The greeting's and query-version's answer. The "qemu" member, which the
// protocol demands, holds kvmlet's own version.
Json QmpVersion();

std::string_view RunStateName(RunState state);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_QMP_COMMANDS_H_
