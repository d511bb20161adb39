// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/memory_exits.h"

#include <linux/kvm.h>

#include <cerrno>
#include <cstring>

namespace kvmlet {
namespace {

// What is beside the common part of kvm_run for these exits.
struct MemoryFault {
  uint64_t flags = 0;
  uint64_t gpa = 0;
  uint64_t size = 0;
};
struct ArmSea {
  uint64_t flags = 0;
  uint64_t esr = 0;
  uint64_t gva = 0;
  uint64_t gpa = 0;
};
constexpr uint64_t kGpaValid = 1 << 0;

template <typename T>
T Details(const kvm_run& run) {
  static_assert(sizeof(T) <= sizeof(run.padding));
  T details;
  std::memcpy(&details, run.padding, sizeof(details));
  return details;
}

}  // namespace

std::optional<Gpa> LostMemoryOf(const kvm_run& run, int error) {
  // Other errors leave the reason of an earlier exit there.
  if (error == EHWPOISON && run.exit_reason == kExitMemoryFault) {
    return Gpa{Details<MemoryFault>(run).gpa};
  }
  if (error == 0 && run.exit_reason == kExitArmSea) {
    const auto sea = Details<ArmSea>(run);
    if ((sea.flags & kGpaValid) != 0) return Gpa{sea.gpa};
  }
  return std::nullopt;
}

}  // namespace kvmlet
