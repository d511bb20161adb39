// SPDX-License-Identifier: Apache-2.0
// Reads the header of a bzImage, Linux' packed kernel, and plans its 64-bit
// entry; the guest unpacks itself. Hostile headers end in an error.
// Thread-safe. Specification: Linux, Documentation/arch/x86/boot.rst.
#ifndef KVMLET_ARCH_X86_64_BZIMAGE_H_
#define KVMLET_ARCH_X86_64_BZIMAGE_H_

#include "absl/status/statusor.h"
#include "arch/common/boot_file.h"
#include "arch/x86_64/boot_plan.h"

namespace kvmlet::arch::x86_64 {

// Has the "HdrS" of a Linux setup header.
bool IsBzImage(const BootFile& file);
absl::StatusOr<KernelPlan> PlanBzImage(const BootFile& file);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_BZIMAGE_H_
