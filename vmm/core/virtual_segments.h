// SPDX-License-Identifier: Apache-2.0
// The program headers of a core file by virtual address: what the guest's page
// tables map, cut to the memory that is in the file. They take no room of
// their own, as they point at the bytes that the physical ones have.
//
// Pure functions, thread-safe. Units: bytes. The mappings are the guest's: what
// lies outside the memory is dropped. Specification: ELF gABI, "Program
// Header".
#ifndef KVMLET_VMM_CORE_VIRTUAL_SEGMENTS_H_
#define KVMLET_VMM_CORE_VIRTUAL_SEGMENTS_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "arch/core.h"
#include "vmm/memory/gpa.h"

namespace kvmlet {

// Memory in the file.
struct CoreRange {
  Gpa base;
  uint64_t size = 0;
  uint64_t offset = 0;  // of its first byte, from where the memory begins
};

// The first `most` headers; their p_offset counts as CoreRange's. `ranges` are
// sorted and apart.
std::vector<Elf64_Phdr> VirtualSegments(
    std::span<const arch::CoreMapping> mappings,
    std::span<const CoreRange> ranges, size_t most);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CORE_VIRTUAL_SEGMENTS_H_
