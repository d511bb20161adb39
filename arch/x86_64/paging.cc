// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/paging.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "arch/common/mapping_walk.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kCr0Paging = 1u << 31;
constexpr uint64_t kCr4Pse = 1u << 4;
constexpr uint64_t kCr4Pae = 1u << 5;
constexpr uint64_t kCr4La57 = 1u << 12;
constexpr uint64_t kEferLongModeActive = 1u << 10;
constexpr uint64_t kPresent = 1;
constexpr uint64_t kPageSize = 1u << 7;
constexpr uint64_t kAddressBits = 0x000ffffffffff000;
// Linux' page-table isolation: a process's two top-level tables are a pair of
// neighbouring pages, the one for user mode is the upper.
constexpr uint64_t kUserTables = 0x1000;

// How a mode cuts an address into indices.
struct Mode {
  const char* name;
  int levels;
  unsigned index_bits;
  unsigned entry_bytes;
  unsigned top_bits;      // of the first index
  uint64_t root_mask;     // of CR3
  uint64_t address_mask;  // of the linear address
  int largest;            // levels counted from 1 = 4 KiB that may be a page
};
constexpr Mode kTwoLevels{"32-bit", 2, 10, 4, 10, 0xfffff000, 0xffffffff, 2};
constexpr Mode kPae{"PAE", 3, 9, 8, 2, 0xffffffe0, 0xffffffff, 2};
constexpr Mode kFourLevels{"4-level", 4, 9, 8, 9, kAddressBits, ~0ull, 3};
constexpr Mode kFiveLevels{"5-level", 5, 9, 8, 9, kAddressBits, ~0ull, 3};

const Mode& ModeOf(const PagingRegisters& registers) {
  if ((registers.efer & kEferLongModeActive) != 0) {
    return (registers.cr4 & kCr4La57) != 0 ? kFiveLevels : kFourLevels;
  }
  return (registers.cr4 & kCr4Pae) != 0 ? kPae : kTwoLevels;
}

bool Canonical(const Mode& mode, uint64_t address) {
  if (mode.address_mask != ~0ull) return true;
  const unsigned bits = 12 + 9 * static_cast<unsigned>(mode.levels);
  const auto top = static_cast<int64_t>(address) >> (bits - 1);
  return top == 0 || top == -1;
}

std::optional<uint64_t> LoadEntry(const GuestMemory& memory, uint64_t at,
                                  unsigned bytes) {
  if (bytes == 8) return memory.Load<uint64_t>(Gpa{at});
  const std::optional<uint32_t> entry = memory.Load<uint32_t>(Gpa{at});
  if (!entry) return std::nullopt;
  return *entry;
}

uint64_t LargePageAt(const Mode& mode, uint64_t entry) {
  if (mode.entry_bytes == 8) return entry & kAddressBits;
  // PSE-36: bits 13 to 20 of a 4 MiB entry are bits 32 to 39.
  return (entry >> 13 & 0xff) << 32 | (entry & 0xffc00000);
}

AddressSpace::Page PageAt(uint64_t base, unsigned shift, uint64_t address) {
  const uint64_t size = 1ull << shift;
  const uint64_t offset = address & (size - 1);
  return {.at = Gpa{(base & ~(size - 1)) + offset}, .left = size - offset};
}

}  // namespace

std::optional<AddressSpace::Page> X86AddressSpace::Walk(
    const GuestMemory& memory, uint64_t cr3, uint64_t address,
    std::string* trace) const {
  const Mode& mode = ModeOf(registers_);
  if (!Canonical(mode, address)) {
    if (trace != nullptr) absl::StrAppend(trace, "not canonical\n");
    return std::nullopt;
  }
  address &= mode.address_mask;
  uint64_t table = cr3 & mode.root_mask;
  for (int level = mode.levels; level > 0; --level) {
    const unsigned shift =
        12 + mode.index_bits * static_cast<unsigned>(level - 1);
    const unsigned bits =
        level == mode.levels ? mode.top_bits : mode.index_bits;
    const uint64_t index = (address >> shift) & ((1ull << bits) - 1);
    const uint64_t at = table + index * mode.entry_bytes;
    const std::optional<uint64_t> entry =
        LoadEntry(memory, at, mode.entry_bytes);
    if (trace != nullptr) {
      absl::StrAppendFormat(trace, "level %d: [%#x] = ", level, at);
      if (entry) absl::StrAppendFormat(trace, "%#x\n", *entry);
      if (!entry) absl::StrAppend(trace, "outside RAM\n");
    }
    if (!entry || (*entry & kPresent) == 0) return std::nullopt;
    const bool sized = mode.entry_bytes == 8 || (registers_.cr4 & kCr4Pse) != 0;
    if (level == 1) return PageAt(*entry & kAddressBits, shift, address);
    if (level <= mode.largest && sized && (*entry & kPageSize) != 0) {
      return PageAt(LargePageAt(mode, *entry), shift, address);
    }
    table = *entry & kAddressBits;
  }
  return std::nullopt;
}

// The user half of both tables of such a pair leads to the same places.
bool X86AddressSpace::IsolatedTables(const GuestMemory& memory) const {
  if ((registers_.efer & kEferLongModeActive) == 0 ||
      (registers_.cr3 & kUserTables) == 0) {
    return false;
  }
  using HalfTable = std::array<uint64_t, 256>;
  const uint64_t root = registers_.cr3 & kAddressBits;
  const std::optional<HalfTable> user = memory.Load<HalfTable>(Gpa{root});
  const std::optional<HalfTable> kernel =
      memory.Load<HalfTable>(Gpa{root & ~kUserTables});
  if (!user || !kernel) return false;
  bool any = false;
  for (size_t i = 0; i < user->size(); ++i) {
    if (((*user)[i] & kPresent) == 0) continue;
    any = true;
    if ((((*user)[i] ^ (*kernel)[i]) & (kAddressBits | kPresent)) != 0) {
      return false;
    }
  }
  return any;
}

std::optional<AddressSpace::Page> X86AddressSpace::Find(
    const GuestMemory& memory, uint64_t address, std::string* trace) const {
  if ((registers_.cr0 & kCr0Paging) == 0) {
    if (trace != nullptr) absl::StrAppend(trace, "paging is off\n");
    constexpr uint64_t kUnpagedEnd = 1ull << 32;
    if (address >= kUnpagedEnd) return std::nullopt;
    return Page{.at = Gpa{address}, .left = kUnpagedEnd - address};
  }
  if (trace != nullptr) {
    absl::StrAppendFormat(trace, "%s paging, cr3 %#x\n",
                          ModeOf(registers_).name, registers_.cr3);
  }
  const std::optional<Page> page = Walk(memory, registers_.cr3, address, trace);
  if (page || !IsolatedTables(memory)) return page;
  const uint64_t kernel = registers_.cr3 & ~kUserTables;
  if (trace != nullptr) {
    absl::StrAppendFormat(trace, "page-table isolation: cr3 %#x\n", kernel);
  }
  return Walk(memory, kernel, address, trace);
}

std::optional<AddressSpace::Page> X86AddressSpace::Translate(
    const GuestMemory& memory, uint64_t address) const {
  return Find(memory, address, nullptr);
}

std::string X86AddressSpace::Explain(const GuestMemory& memory,
                                     uint64_t address) const {
  std::string text;
  const std::optional<Page> page = Find(memory, address, &text);
  if (!page) return absl::StrCat(text, "not mapped\n");
  absl::StrAppendFormat(&text, "%#x is at %#x, physical\n", address,
                        page->at.value);
  return text;
}

std::vector<CoreMapping> X86AddressSpace::Mappings(const GuestMemory& memory,
                                                   size_t most) const {
  if ((registers_.cr0 & kCr0Paging) == 0) return {};
  const Mode& mode = ModeOf(registers_);
  const bool sized = mode.entry_bytes == 8 || (registers_.cr4 & kCr4Pse) != 0;
  const auto decode = [&mode, sized](uint64_t entry, int level) -> TableEntry {
    using Kind = TableEntry::Kind;
    if ((entry & kPresent) == 0) return {};
    if (level == 1) return {.kind = Kind::kPage, .at = entry & kAddressBits};
    if (level <= mode.largest && sized && (entry & kPageSize) != 0) {
      return {.kind = Kind::kPage, .at = LargePageAt(mode, entry)};
    }
    return {.kind = Kind::kTable, .at = entry & kAddressBits};
  };
  const TableShape shape{.page_bits = 12,
                         .index_bits = mode.index_bits,
                         .entry_bytes = mode.entry_bytes,
                         .levels = mode.levels,
                         .decode = decode};
  uint64_t root = registers_.cr3;
  if (IsolatedTables(memory)) root &= ~kUserTables;
  root &= mode.root_mask;
  const uint64_t entries = 1ull << mode.top_bits;
  MappingWalk walk(memory, most);
  if (mode.address_mask != ~0ull) {
    walk.Walk(shape, root, 0, entries, 0);
    return walk.Take();
  }
  // There may be more mappings than are kept: the kernel's image at the top
  // first, then the rest of its half, where vmalloc has most of them.
  const unsigned bits = 12 + 9 * static_cast<unsigned>(mode.levels);
  walk.Walk(shape, root, entries - 1, entries, ~0ull << (bits - 9));
  walk.Walk(shape, root, entries / 2, entries - 1, ~0ull << (bits - 1));
  walk.Walk(shape, root, 0, entries / 2, 0);
  return walk.Take();
}

}  // namespace kvmlet::arch::x86_64
