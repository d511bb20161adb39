// SPDX-License-Identifier: Apache-2.0
// Multiboot 1: finds the header of a kernel (ELF32, or any file that gives its
// load addresses in the header) and builds the information structure it is
// entered with. kvm-unit-tests and the payloads of this tree boot this way.
// Hostile headers end in an error. Thread-safe. Specification: Multiboot
// 0.6.96.
#ifndef KVMLET_ARCH_X86_64_MULTIBOOT_H_
#define KVMLET_ARCH_X86_64_MULTIBOOT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/common/boot_file.h"
#include "arch/x86_64/boot_plan.h"

namespace kvmlet::arch::x86_64 {

inline constexpr uint32_t kMultibootBootMagic = 0x2badb002;  // in EAX

bool IsMultiboot(const BootFile& file);
absl::StatusOr<KernelPlan> PlanMultiboot(const BootFile& file);

// Module 0; its bytes end before `end`.
struct MultibootModule {
  Gpa start;
  Gpa end;
};

// The information structure with its module list and memory map behind it, as
// it has to lie at `at`. `module` may be null.
std::vector<std::byte> BuildMultibootInfo(Gpa at, Gpa command_line,
                                          const MultibootModule* module,
                                          std::span<const E820Entry> map);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_MULTIBOOT_H_
