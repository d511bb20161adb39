// SPDX-License-Identifier: Apache-2.0
// What there is to load and how to enter it, the same for every kernel format:
// the parsers of bzImage, ELF and multiboot produce a KernelPlan and LoadGuest
// carries it out. Plain data; addresses are guest-physical, sizes in bytes.
#ifndef KVMLET_ARCH_X86_64_BOOT_PLAN_H_
#define KVMLET_ARCH_X86_64_BOOT_PLAN_H_

#include <asm/bootparam.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/x86_64/layout.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::x86_64 {

enum class BootProtocol {
  kLinux64,    // Linux' 64-bit entry: long mode, RSI is the zero page
  kPvh,        // 32-bit protected mode, EBX is an hvm_start_info
  kMultiboot,  // 32-bit protected mode, EBX is a multiboot information
};

struct KernelSegment {
  uint64_t file_offset = 0;
  uint64_t file_size = 0;
  Gpa at;
  uint64_t memory_size = 0;  // never less than file_size
};

struct KernelPlan {
  BootProtocol protocol = BootProtocol::kLinux64;
  Gpa entry;
  std::vector<KernelSegment> segments;
  uint64_t command_line_max = kCommandLineMax - 1;  // without the NUL
  // The initrd ends at or below this.
  uint64_t initrd_limit = kRamHoleEnd;
  // A bzImage's own, which the zero page starts from.
  std::optional<setup_header> header;
};

// Linux' COMMAND_LINE_SIZE on x86, without the NUL: a vmlinux does not say it
// and cuts a longer line without a word.
inline constexpr uint64_t kLinuxCommandLineMax = 2047;

// The int 15h, AX=E820h types, which the zero page, PVH and multiboot share.
enum class E820Type : uint32_t {
  kRam = 1,
  kReserved = 2,
  kAcpi = 3,
  kNvs = 4,
  kUnusable = 5,
  kPersistent = 7,
};

struct E820Entry {
  Gpa base;
  uint64_t size = 0;
  E820Type type = E820Type::kRam;
};

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_BOOT_PLAN_H_
