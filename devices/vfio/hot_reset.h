// SPDX-License-Identifier: Apache-2.0
// A reset of everything in a function's slot, or on its bus, for functions
// that cannot be reset alone. The kernel does it for somebody who has opened
// all that it hits, and puts back the configuration of each.
//
// Threads: no state. Errors name the functions that stand in the way.
// Specification: Linux, include/uapi/linux/vfio.h, VFIO_DEVICE_PCI_HOT_RESET.
#ifndef KVMLET_DEVICES_VFIO_HOT_RESET_H_
#define KVMLET_DEVICES_VFIO_HOT_RESET_H_

#include <string>

#include "absl/status/status.h"
#include "devices/vfio/address_space.h"
#include "devices/vfio/host_calls.h"

namespace kvmlet::vfio {

// Whether functions that the guest has, too, may be hit.
enum class OthersOpen { kToo, kRefuse };

absl::Status HotReset(HostCalls& calls, const DeviceHandle& device,
                      const std::string& name, OthersOpen others);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_HOT_RESET_H_
