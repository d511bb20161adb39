// SPDX-License-Identifier: Apache-2.0
// Makes host memory appear in the guest's physical address space beside its
// RAM: a device's BAR that the guest reaches without an exit. vmm/kvm
// implements it with memory slots; a test remembers the calls.
//
// Threads: any. Addresses and sizes are multiples of the host's page.
#ifndef KVMLET_VMM_BUS_GUEST_MAPPER_H_
#define KVMLET_VMM_BUS_GUEST_MAPPER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvmlet {

class GuestMapper {
 public:
  virtual ~GuestMapper() = default;
  // Returns a number for Unmap. The host memory stays mapped until then.
  virtual absl::StatusOr<uint32_t> MapHost(uint64_t guest, uint64_t size,
                                           const void* host) = 0;
  virtual absl::Status UnmapHost(uint32_t mapping) = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BUS_GUEST_MAPPER_H_
