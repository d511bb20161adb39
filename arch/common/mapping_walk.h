// SPDX-License-Identifier: Apache-2.0
// Lists what page tables map, whatever their format: every walk in order of
// virtual addresses, neighbours that continue each other as one. A table counts
// where it is met first: one that is met again, as in a shadow that is all one
// page, or in tables that lead to themselves, adds nothing.
//
// Not thread-safe. The tables are hostile: each is read once and whole, and
// the work is bounded by the memory there is. Units: bytes.
#ifndef KVMLET_ARCH_COMMON_MAPPING_WALK_H_
#define KVMLET_ARCH_COMMON_MAPPING_WALK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_set>
#include <vector>

#include "arch/core.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {

// What an entry of a table says.
struct TableEntry {
  enum class Kind { kNothing, kTable, kPage };
  Kind kind = Kind::kNothing;
  uint64_t at = 0;  // physical
};

struct TableShape {
  unsigned page_bits = 12;   // of the smallest page
  unsigned index_bits = 9;   // of a table below the root
  unsigned entry_bytes = 8;  // or 4
  int levels = 4;
  // An entry of this level; those of level 1 can only be pages.
  std::function<TableEntry(uint64_t entry, int level)> decode;
};

class MappingWalk {
 public:
  // The first `most` mappings are kept.
  MappingWalk(const GuestMemory& memory, size_t most)
      : memory_(memory), most_(most) {}

  // Entries [first, end) of the table at `root`, the first of them for the
  // virtual address `address`.
  void Walk(const TableShape& shape, uint64_t root, uint64_t first,
            uint64_t end, uint64_t address);

  std::vector<CoreMapping> Take() { return std::move(mappings_); }

 private:
  void WalkTable(const TableShape& shape, int level, uint64_t table,
                 uint64_t first, uint64_t end, uint64_t address);
  void Add(uint64_t address, uint64_t at, uint64_t size);

  const GuestMemory& memory_;
  const size_t most_;
  std::vector<CoreMapping> mappings_;
  std::unordered_set<uint64_t> seen_;  // tables, with their level
};

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_MAPPING_WALK_H_
