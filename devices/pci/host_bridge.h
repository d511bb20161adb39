// SPDX-License-Identifier: Apache-2.0
// The host bridge at 00:00.0: no registers beside its header. Guests look for
// its class code to believe that there is a PCI bus.
//
// Threads: as PciDevice says.
#ifndef KVMLET_DEVICES_PCI_HOST_BRIDGE_H_
#define KVMLET_DEVICES_PCI_HOST_BRIDGE_H_

#include <string_view>

#include "devices/pci/pci_function.h"

namespace kvmlet::pci {

class HostBridge : public PciFunction {
 public:
  // The generic PCIe host bridge's identifiers: no driver has quirks for it.
  HostBridge()
      : PciFunction({.vendor_id = 0x1b36,
                     .device_id = 0x0008,
                     .class_code = kClassHostBridge}) {}
  std::string_view name() const override { return "pci-host-bridge"; }
};

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_HOST_BRIDGE_H_
