// SPDX-License-Identifier: Apache-2.0
// The part of the DSDT by which PCI devices come and go while the guest runs:
// an object with _EJ0 for each slot, and what is done when the event device
// tells of a change. Pure functions, thread-safe. ACPI 6.3, 5.6.6 "Device
// Object Notifications", 6.3.3 "_EJx (Eject)".
#ifndef KVMLET_ARCH_COMMON_ACPI_HOTPLUG_H_
#define KVMLET_ARCH_COMMON_ACPI_HOTPLUG_H_

#include <vector>

#include "arch/common/acpi_dsdt.h"
#include "arch/common/acpi_machine.h"
#include "arch/common/aml.h"

namespace kvmlet::arch {

// To be put into \_SB.PCI0.
aml::Terms DescribePciSlots(const AcpiPciHotplug& hotplug);
std::vector<AcpiEventAction> PciHotplugEvents(const AcpiPciHotplug& hotplug);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_ACPI_HOTPLUG_H_
