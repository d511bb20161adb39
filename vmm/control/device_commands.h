// SPDX-License-Identifier: Apache-2.0
// The QMP commands by which devices come and go while the machine runs:
// QEMU's device_add and device_del, for driver vfio-pci.
//
// Threads: main loop's thread. QEMU's qapi/qdev.json.
#ifndef KVMLET_VMM_CONTROL_DEVICE_COMMANDS_H_
#define KVMLET_VMM_CONTROL_DEVICE_COMMANDS_H_

#include "vmm/control/machine_control.h"
#include "vmm/control/qmp_registry.h"

namespace kvmlet {

// Both outlive every command that is run.
void RegisterDeviceCommands(QmpRegistry& registry, MachineControl& machine);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_DEVICE_COMMANDS_H_
