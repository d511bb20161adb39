// SPDX-License-Identifier: Apache-2.0
// Doorbells: guest writes to an address that signal an eventfd inside the
// kernel instead of leaving the guest (KVM's ioeventfd). vmm/kvm implements
// the registry; a test implements a fake that remembers what was attached.
//
// Threads: Attach and Detach may be called from any thread. Addresses are MMIO
// addresses; a doorbell matches writes of every width and value.
#ifndef KVMLET_VMM_BUS_DOORBELL_H_
#define KVMLET_VMM_BUS_DOORBELL_H_

#include <cstdint>

#include "absl/status/status.h"

namespace kvmlet {

class DoorbellRegistry {
 public:
  virtual ~DoorbellRegistry() = default;
  virtual absl::Status Attach(uint64_t mmio_address, int event_fd) = 0;
  virtual absl::Status Detach(uint64_t mmio_address, int event_fd) = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_DOORBELL_H_
