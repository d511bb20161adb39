// SPDX-License-Identifier: Apache-2.0
// Tells the hypervisor which VFIO files (groups or devices) its guest uses, so
// that interrupts are posted and non-coherent DMA is known. vmm/kvm implements
// it with KVM's VFIO device; a test remembers the calls.
//
// Threads: one at a time. KVM keeps a reference to a file until Remove.
// Specification: Documentation/virt/kvm/devices/vfio.rst.
#ifndef KVMLET_VMM_BUS_ASSIGNED_FILES_H_
#define KVMLET_VMM_BUS_ASSIGNED_FILES_H_

#include "absl/status/status.h"

namespace kvmlet {

class AssignedFiles {
 public:
  virtual ~AssignedFiles() = default;
  virtual absl::Status Add(int fd) = 0;
  virtual absl::Status Remove(int fd) = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_ASSIGNED_FILES_H_
