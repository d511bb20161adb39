// SPDX-License-Identifier: Apache-2.0
// What the doctor asks about an instruction set: which of KVM's capabilities
// matter on it, and how fast this host's KVM really runs guest kernel code.
// Some hosts offer a paravirtual KVM that emulates it a thousand times slower
// than the processor. One probe at a time in a process: it takes SIGALRM.
#ifndef KVMLET_ARCH_PROBE_H_
#define KVMLET_ARCH_PROBE_H_

#include <chrono>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_system.h"

namespace kvmlet::arch {

struct KvmCapability {
  unsigned long number;  // KVM_CAP_*
  const char* name;
  const char* meaning;
  bool required;
  const char* remedy = "use a newer kernel";
};

// Those that exist on this instruction set only.
std::span<const KvmCapability> SpecificCapabilities();

// What to do about a host without IOMMU groups.
std::string_view IommuRemedy();

// Runs a loop of two plain instructions in the guest's kernel mode, in a
// throw-away machine of four pages, for at most `budget`. Unavailable when KVM
// leaves the loop for any other reason than its end.
absl::StatusOr<double> GuestInstructionsPerSecond(
    const KvmSystem& system, std::chrono::milliseconds budget);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_PROBE_H_
