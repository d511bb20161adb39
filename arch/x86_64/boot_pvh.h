// SPDX-License-Identifier: Apache-2.0
// Builds hvm_start_info with its module list and memory map, which a PVH entry
// is handed in EBX. Pure functions; addresses are guest-physical.
// Specification: Xen, public/arch-x86/hvm/start_info.h, version 1.
#ifndef KVMLET_ARCH_X86_64_BOOT_PVH_H_
#define KVMLET_ARCH_X86_64_BOOT_PVH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "arch/x86_64/boot_plan.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::x86_64 {

inline constexpr uint32_t kPvhMagic = 0x336ec578;

struct PvhStartInfo {
  uint32_t magic = kPvhMagic;
  uint32_t version = 1;
  uint32_t flags = 0;
  uint32_t module_count = 0;
  uint64_t modules = 0;
  uint64_t command_line = 0;
  uint64_t rsdp = 0;
  uint64_t memory_map = 0;
  uint32_t memory_map_entries = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(PvhStartInfo) == 56);

struct PvhModule {
  uint64_t address = 0;
  uint64_t size = 0;
  uint64_t command_line = 0;
  uint64_t reserved = 0;
};
static_assert(sizeof(PvhModule) == 32);

struct PvhMemoryMapEntry {
  uint64_t address = 0;
  uint64_t size = 0;
  uint32_t type = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(PvhMemoryMapEntry) == 24);

std::vector<PvhMemoryMapEntry> BuildPvhMemoryMap(
    std::span<const E820Entry> map);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_BOOT_PVH_H_
