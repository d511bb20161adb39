// SPDX-License-Identifier: Apache-2.0
// The names of KVM's exit reasons: KVM_EXIT_IO is "io". Thread-safe; no state.
// Specification: Documentation/virt/kvm/api.rst, "The kvm_run structure".
#ifndef KVMLET_VMM_KVM_EXIT_REASONS_H_
#define KVMLET_VMM_KVM_EXIT_REASONS_H_

#include <cstddef>
#include <string>

namespace kvmlet {

// Exits are counted by reason up to this number; larger ones share the last.
inline constexpr size_t kExitReasons = 64;

// "exit_99" for a reason that has no name here.
std::string ExitReasonName(size_t reason);

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_EXIT_REASONS_H_
