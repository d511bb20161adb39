// SPDX-License-Identifier: Apache-2.0
// Puts a kernel, its initrd, its command line and what its boot protocol wants
// beside them into guest RAM, and says where to enter it. May be called again
// at every reboot, with the same kernel. Not thread-safe with a running vCPU.
//
// RAM must read as zeroes (fresh, or after GuestMemory::Discard): a kernel's
// bss is not written. Addresses are guest-physical; errors are one line.
#ifndef KVMLET_ARCH_X86_64_BOOT_H_
#define KVMLET_ARCH_X86_64_BOOT_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "arch/common/boot_file.h"
#include "arch/x86_64/boot_plan.h"
#include "arch/x86_64/kernel_image.h"
#include "arch/x86_64/regs.h"
#include "vmm/memory/gpa.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::x86_64 {

struct BootOptions {
  std::string command_line;
  // Sorted and disjoint, at most 128 entries; only its RAM is loaded into.
  std::span<const E820Entry> memory_map;
  Gpa rsdp;  // 0: there is none to tell of
};

// `initrd` may be null; multiboot kernels get it as module 0. A multiboot
// kernel's command line begins with the kernel's path, as its protocol wants.
absl::StatusOr<BootEntry> LoadGuest(const GuestMemory& memory,
                                    const KernelImage& kernel,
                                    const BootFile* initrd,
                                    const BootOptions& options);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_BOOT_H_
