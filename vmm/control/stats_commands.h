// SPDX-License-Identifier: Apache-2.0
// The QMP commands that tell what KVM and the monitor have counted:
// query-stats and query-stats-schemas with QEMU's fields, and the same as text
// for Prometheus.
//
// Threads: the main loop's thread only. QEMU's qapi/stats.json.
#ifndef KVMLET_VMM_CONTROL_STATS_COMMANDS_H_
#define KVMLET_VMM_CONTROL_STATS_COMMANDS_H_

#include "vmm/control/machine_control.h"
#include "vmm/control/qmp_registry.h"

namespace kvmlet {

void RegisterStatsCommands(QmpRegistry& registry, MachineControl& machine);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_STATS_COMMANDS_H_
