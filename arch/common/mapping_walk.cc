// SPDX-License-Identifier: Apache-2.0
#include "arch/common/mapping_walk.h"

#include <cstring>
#include <span>

namespace kvmlet::arch {
namespace {

// A guest with a gigabyte of page tables is a hostile one.
constexpr size_t kMostTables = 1 << 18;

}  // namespace

void MappingWalk::Walk(const TableShape& shape, uint64_t root, uint64_t first,
                       uint64_t end, uint64_t address) {
  WalkTable(shape, shape.levels, root, first, end, address);
}

void MappingWalk::WalkTable(const TableShape& shape, int level, uint64_t table,
                            uint64_t first, uint64_t end, uint64_t address) {
  const unsigned shift =
      shape.page_bits + shape.index_bits * static_cast<unsigned>(level - 1);
  std::vector<std::byte> entries((end - first) * shape.entry_bytes);
  if (!memory_.Read(Gpa{table + first * shape.entry_bytes}, entries)) return;
  for (uint64_t i = 0; i < end - first && mappings_.size() < most_; ++i) {
    uint64_t raw = 0;  // the guests are little-endian, and so are the hosts
    std::memcpy(&raw, entries.data() + i * shape.entry_bytes,
                shape.entry_bytes);
    const TableEntry entry = shape.decode(raw, level);
    const uint64_t at = address + (i << shift);
    if (entry.kind == TableEntry::Kind::kPage) {
      const uint64_t size = 1ull << shift;
      Add(at, entry.at & ~(size - 1), size);
    }
    if (entry.kind != TableEntry::Kind::kTable || level == 1) continue;
    const uint64_t below = 1ull << shape.index_bits;
    if (seen_.size() >= kMostTables ||
        !memory_.Contains(Gpa{entry.at}, below * shape.entry_bytes) ||
        !seen_.insert(entry.at | static_cast<uint64_t>(level)).second) {
      continue;
    }
    WalkTable(shape, level - 1, entry.at, 0, below, at);
  }
}

void MappingWalk::Add(uint64_t address, uint64_t at, uint64_t size) {
  if (!mappings_.empty()) {
    CoreMapping& last = mappings_.back();
    // None goes on at 0 after the end of all addresses.
    if (address != 0 && last.address + last.size == address &&
        last.at.value + last.size == at) {
      last.size += size;
      return;
    }
  }
  mappings_.push_back({.address = address, .at = Gpa{at}, .size = size});
}

}  // namespace kvmlet::arch
