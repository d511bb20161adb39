// SPDX-License-Identifier: Apache-2.0
// Who must hear when memory of a device comes and goes: KVM's memory slots,
// and whoever else maps guest memory for hardware (a DMA map). vhost need not:
// the host address of a block never changes.
//
// Threads: called by the thread that plugs, with DeviceMemory's lock held; a
// listener may use DeviceMemory's lock-free members and must not plug.
#ifndef KVMLET_VMM_MEMORY_MEMORY_LISTENER_H_
#define KVMLET_VMM_MEMORY_MEMORY_LISTENER_H_

#include "absl/status/status.h"
#include "vmm/memory/ram_region.h"

namespace kvmlet {

class MemoryListener {
 public:
  virtual ~MemoryListener() = default;
  // The part, whole blocks, is mapped and about to become the guest's. An
  // error refuses it: the driver is told to try later, and the listeners that
  // agreed get OnUnplug.
  virtual absl::Status OnPlug(const RamRegion& part) = 0;
  // The part is no longer the guest's and its pages are about to go. It may
  // hold several parts that were plugged one by one, or a piece of one.
  virtual void OnUnplug(const RamRegion& part) = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_MEMORY_LISTENER_H_
