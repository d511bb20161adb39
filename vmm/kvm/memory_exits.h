// SPDX-License-Identifier: Apache-2.0
// The exits by which newer kernels say that a vCPU met lost memory where no
// SIGBUS does: a page of a guest_memfd, and an external abort of an arm64
// processor that the host's firmware does not explain. The numbers are here,
// because the headers of older kernels do not have them. Pure, thread-safe;
// addresses are guest-physical. Specification:
// Documentation/virt/kvm/api.rst, KVM_EXIT_MEMORY_FAULT, KVM_EXIT_ARM_SEA.
#ifndef KVMLET_VMM_KVM_MEMORY_EXITS_H_
#define KVMLET_VMM_KVM_MEMORY_EXITS_H_

#include <cstdint>
#include <optional>

#include "vmm/memory/gpa.h"

struct kvm_run;

namespace kvmlet {

inline constexpr uint32_t kExitMemoryFault = 39;
inline constexpr uint32_t kExitArmSea = 41;
// Linux 6.19; to be enabled for each virtual machine.
inline constexpr uint32_t kCapArmSeaToUser = 245;

// Where the guest met lost memory, when KVM_RUN that ended with this errno, or
// 0, was left for that and says where.
std::optional<Gpa> LostMemoryOf(const kvm_run& run, int error);

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_MEMORY_EXITS_H_
