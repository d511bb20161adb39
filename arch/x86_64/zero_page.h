// SPDX-License-Identifier: Apache-2.0
// Builds struct boot_params, the "zero page" that Linux' 64-bit entry is handed
// in RSI. Pure function; addresses are guest-physical, sizes in bytes.
// Specification: Linux, Documentation/arch/x86/{boot,zero-page}.rst.
#ifndef KVMLET_ARCH_X86_64_ZERO_PAGE_H_
#define KVMLET_ARCH_X86_64_ZERO_PAGE_H_

#include <asm/bootparam.h>

#include <cstdint>
#include <optional>
#include <span>

#include "arch/x86_64/boot_plan.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::x86_64 {

struct ZeroPageInput {
  std::optional<setup_header> header;  // absent for a vmlinux
  Gpa command_line;
  Gpa initrd;
  uint64_t initrd_size = 0;  // 0: none
  Gpa rsdp;                  // 0: the kernel searches for it
  std::span<const E820Entry> map;
};

// The map has at most E820_MAX_ENTRIES_ZEROPAGE entries.
boot_params BuildZeroPage(const ZeroPageInput& input);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_ZERO_PAGE_H_
