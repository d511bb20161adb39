// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/orc.h"

#include <algorithm>
#include <cstring>

namespace kvmlet::arch::x86_64 {
namespace {

// struct orc_entry: two offsets, and 16 bits of fields.
constexpr size_t kEntryBytes = 6;
constexpr size_t kWordAt = 4;
// Far more than any kernel has.
constexpr size_t kMostEntries = 1 << 24;

unsigned SpRegister(uint16_t word) { return word & 15u; }
unsigned BpRegister(uint16_t word) { return word >> 4 & 15u; }
unsigned NewType(uint16_t word) { return word >> 8 & 7u; }
unsigned OldType(uint16_t word) { return word >> 8 & 3u; }

OrcEntry::Type DecodeType(uint16_t word, bool old_layout) {
  using Type = OrcEntry::Type;
  // Linux 6.4 made the end a type of its own; before it was a bit, in 6.3 the
  // next one.
  constexpr uint16_t kOldEnd = 3u << 10;
  constexpr Type kNew[] = {
      Type::kUndefined,   Type::kEnd,       Type::kCall,      Type::kRegs,
      Type::kPartialRegs, Type::kUndefined, Type::kUndefined, Type::kUndefined};
  constexpr Type kOld[] = {Type::kCall, Type::kRegs, Type::kPartialRegs,
                           Type::kUndefined};
  if (!old_layout) {
    const Type type = kNew[NewType(word)];
    return SpRegister(word) != 0 || type == Type::kEnd ? type
                                                       : Type::kUndefined;
  }
  if (SpRegister(word) != 0) return kOld[OldType(word)];
  return (word & kOldEnd) != 0 ? Type::kEnd : Type::kUndefined;
}

}  // namespace

uint16_t OrcTable::Word(size_t entry) const {
  uint16_t word = 0;
  std::memcpy(&word, entries_.bytes.data() + entry * kEntryBytes + kWordAt,
              sizeof(word));
  return word;
}

bool OrcTable::Ends(size_t entry) const { return SpRegister(Word(entry)) == 0; }

OrcTable::OrcTable(const KernelFile& file)
    : entries_(file.FindSection(".orc_unwind")) {
  const KernelFile::Section places = file.FindSection(".orc_unwind_ip");
  const size_t count = places.bytes.size() / sizeof(int32_t);
  if (count == 0 || count > kMostEntries ||
      entries_.bytes.size() / kEntryBytes != count) {
    return;
  }
  // Each is relative to its own place.
  index_.reserve(count);
  size_t plain_calls = 0, new_calls = 0;
  for (size_t i = 0; i < count; ++i) {
    int32_t distance = 0;
    std::memcpy(&distance, places.bytes.data() + i * sizeof(distance),
                sizeof(distance));
    const uint64_t own = places.address + i * sizeof(distance);
    index_.push_back({own + static_cast<uint64_t>(int64_t{distance}),
                      static_cast<uint32_t>(i)});
    if (Ends(i)) continue;
    // Calls outnumber all else: 0 of the old types, 2 of the new ones.
    plain_calls += NewType(Word(i)) == 0 || NewType(Word(i)) == 4 ? 1u : 0u;
    new_calls += NewType(Word(i)) == 2 ? 1u : 0u;
  }
  old_layout_ = plain_calls > new_calls;
  // The build sorts them, since Linux 5.6. Of two at one address the end of an
  // earlier stretch comes first, and the last one counts.
  const auto before = [this](const Place& a, const Place& b) {
    if (a.address != b.address) return a.address < b.address;
    return Ends(a.entry) && !Ends(b.entry);
  };
  if (!std::ranges::is_sorted(index_, {}, &Place::address)) {
    std::ranges::stable_sort(index_, before);
  }
}

std::optional<OrcEntry> OrcTable::Find(uint64_t address) const {
  const auto after =
      std::ranges::upper_bound(index_, address, {}, &Place::address);
  if (after == index_.begin()) return std::nullopt;
  // Behind the last one there is no text, and modules have tables of their own.
  constexpr uint64_t kLastStretch = 4096;
  if (after == index_.end() &&
      address - index_.back().address >= kLastStretch) {
    return std::nullopt;
  }
  const size_t entry = std::prev(after)->entry;
  const uint16_t word = Word(entry);
  OrcEntry out{.type = DecodeType(word, old_layout_),
               .sp = static_cast<OrcRegister>(SpRegister(word)),
               .bp = static_cast<OrcRegister>(BpRegister(word))};
  const std::byte* const at = entries_.bytes.data() + entry * kEntryBytes;
  std::memcpy(&out.sp_offset, at, sizeof(out.sp_offset));
  std::memcpy(&out.bp_offset, at + sizeof(out.sp_offset),
              sizeof(out.bp_offset));
  return out;
}

}  // namespace kvmlet::arch::x86_64
