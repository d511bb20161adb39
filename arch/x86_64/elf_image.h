// SPDX-License-Identifier: Apache-2.0
// Reads the ELF files an x86 kernel comes in, 32 and 64 bit: segments to load,
// entry point, and the notes that name a PVH entry (Xen's public/elfnote.h,
// XEN_ELFNOTE_PHYS32_ENTRY = 18). The file may be hostile: every offset is
// checked against its size, every count is bounded. Thread-safe. System V ABI,
// chapter 5.
#ifndef KVMLET_ARCH_X86_64_ELF_IMAGE_H_
#define KVMLET_ARCH_X86_64_ELF_IMAGE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/common/boot_file.h"
#include "arch/x86_64/boot_plan.h"

namespace kvmlet::arch::x86_64 {

struct ElfSegment {
  uint64_t virtual_address = 0;
  KernelSegment load;
};

struct ElfImage {
  bool is_64_bit = false;
  uint64_t entry = 0;  // as the file has it, physical or virtual
  std::vector<ElfSegment> segments;
  std::optional<uint64_t> pvh_entry;
  bool is_linux = false;  // by its notes
};

bool IsElf(const BootFile& file);
absl::StatusOr<ElfImage> ParseElf(const BootFile& file);

// Vmlinux: the PVH entry when there is one, the 64-bit entry otherwise.
absl::StatusOr<KernelPlan> PlanElf(const BootFile& file);

// The entry lies in a loaded segment, or an error.
absl::Status CheckEntry(const BootFile& file, const KernelPlan& plan);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_ELF_IMAGE_H_
