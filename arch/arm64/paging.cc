// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/paging.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "arch/common/mapping_walk.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kSctlrTranslates = 1;
// TCR_EL1 (D19.2.146).
constexpr unsigned kTcrT0Size = 0;
constexpr unsigned kTcrDisable0 = 7;
constexpr unsigned kTcrGranule0 = 14;
constexpr unsigned kTcrT1Size = 16;
constexpr unsigned kTcrDisable1 = 23;
constexpr unsigned kTcrGranule1 = 30;
constexpr unsigned kTcrIgnoreTop0 = 37;
constexpr unsigned kTcrIgnoreTop1 = 38;
constexpr unsigned kTcrLargeAddresses = 59;  // DS: LPA2 with 4 and 16 KiB
// The bit that chooses the half of the address space.
constexpr unsigned kUpperHalf = 55;
constexpr uint64_t kValid = 1;
constexpr uint64_t kTableOrPage = 2;
constexpr uint64_t kAddress48 = (1ull << 48) - 1;
constexpr int kLastLevel = 3;

constexpr uint64_t Bits(uint64_t value, unsigned low, unsigned count) {
  return value >> low & ((1ull << count) - 1);
}

// One half of the address space.
struct Half {
  const char* name;
  uint64_t root = 0;
  unsigned granule = 12;       // bits of an address inside a page
  unsigned address_bits = 48;  // of the virtual addresses
  bool ignores_top = false;    // the top byte is a tag
  bool disabled = false;
  bool large = false;  // descriptors hold 52-bit addresses
  unsigned index_bits() const { return granule - 3; }
  int levels() const {
    return static_cast<int>((address_bits - 4) / index_bits());
  }
};

std::optional<unsigned> Granule0(uint64_t code) {
  constexpr unsigned kGranules[] = {12, 16, 14};
  if (code > 2) return std::nullopt;
  return kGranules[code];
}
// The encodings of the upper half are other ones.
std::optional<unsigned> Granule1(uint64_t code) {
  constexpr unsigned kGranules[] = {0, 14, 12, 16};
  if (code == 0) return std::nullopt;
  return kGranules[code];
}

std::optional<Half> HalfOf(const TranslationRegisters& registers,
                           uint64_t address) {
  const uint64_t tcr = registers.tcr;
  const bool upper = Bits(address, kUpperHalf, 1) != 0;
  const std::optional<unsigned> granule =
      upper ? Granule1(Bits(tcr, kTcrGranule1, 2))
            : Granule0(Bits(tcr, kTcrGranule0, 2));
  const uint64_t unused = Bits(tcr, upper ? kTcrT1Size : kTcrT0Size, 6);
  // 12 to 48 are all that any processor has.
  if (!granule || unused < 12 || unused > 48) return std::nullopt;
  return Half{
      .name = upper ? "ttbr1" : "ttbr0",
      .root = upper ? registers.ttbr1 : registers.ttbr0,
      .granule = *granule,
      .address_bits = static_cast<unsigned>(64 - unused),
      .ignores_top = Bits(tcr, upper ? kTcrIgnoreTop1 : kTcrIgnoreTop0, 1) != 0,
      .disabled = Bits(tcr, upper ? kTcrDisable1 : kTcrDisable0, 1) != 0,
      .large = Bits(tcr, kTcrLargeAddresses, 1) != 0};
}

// The bits above those that are translated repeat the one that chose the
// half.
bool InHalf(const Half& half, uint64_t address) {
  const unsigned top = half.ignores_top ? 56 : 64;
  if (half.address_bits >= top) return true;
  const unsigned count = top - half.address_bits;
  const uint64_t above = Bits(address, half.address_bits, count);
  const bool upper = Bits(address, kUpperHalf, 1) != 0;
  return above == (upper ? (1ull << count) - 1 : 0);
}

// The address in a descriptor (D8.3.1), without its lowest bits.
uint64_t AddressIn(const Half& half, uint64_t descriptor) {
  const uint64_t page = ~((1ull << half.granule) - 1);
  if (half.granule == 16) {
    return (descriptor & kAddress48 & page) | Bits(descriptor, 12, 4) << 48;
  }
  if (!half.large) return descriptor & kAddress48 & page;
  return (descriptor & ((1ull << 50) - 1) & page) | Bits(descriptor, 8, 2)
                                                        << 50;
}

uint64_t RootOf(const Half& half) {
  const uint64_t low = half.root & kAddress48 & ~0x3full;
  if (half.granule != 16 && !half.large) return low;
  return low | Bits(half.root, 2, 4) << 48;
}

// Whether an entry of this level may be a block.
bool BlockAllowed(const Half& half, int level) {
  if (level == 2) return true;
  if (level == 1) return half.granule != 14 || half.large;
  return level == 0 && half.granule == 12 && half.large;
}

void Trace(std::string* trace, int level, uint64_t at,
           const std::optional<uint64_t>& entry) {
  if (trace == nullptr) return;
  absl::StrAppendFormat(trace, "level %d: [%#x] = ", level, at);
  if (entry) absl::StrAppendFormat(trace, "%#x\n", *entry);
  if (!entry) absl::StrAppend(trace, "outside RAM\n");
}

std::optional<AddressSpace::Page> Walk(const GuestMemory& memory,
                                       const Half& half, uint64_t address,
                                       std::string* trace) {
  const int levels = half.levels();
  uint64_t table = RootOf(half);
  for (int level = kLastLevel + 1 - levels; level <= kLastLevel; ++level) {
    const unsigned shift =
        half.granule +
        half.index_bits() * static_cast<unsigned>(kLastLevel - level);
    const unsigned bits =
        std::min(half.index_bits(), half.address_bits - shift);
    const uint64_t at = table + 8 * Bits(address, shift, bits);
    const std::optional<uint64_t> entry = memory.Load<uint64_t>(Gpa{at});
    Trace(trace, level, at, entry);
    if (!entry || (*entry & kValid) == 0) return std::nullopt;
    const bool more = (*entry & kTableOrPage) != 0;
    table = AddressIn(half, *entry);
    if (level < kLastLevel && more) continue;
    const bool leaf = level == kLastLevel ? more : BlockAllowed(half, level);
    if (!leaf) return std::nullopt;
    const uint64_t size = 1ull << shift;
    const uint64_t offset = address & (size - 1);
    return AddressSpace::Page{.at = Gpa{(table & ~(size - 1)) + offset},
                              .left = size - offset};
  }
  return std::nullopt;
}

}  // namespace

std::optional<AddressSpace::Page> Arm64AddressSpace::Find(
    const GuestMemory& memory, uint64_t address, std::string* trace) const {
  if ((registers_.sctlr & kSctlrTranslates) == 0) {
    if (trace != nullptr) absl::StrAppend(trace, "translation is off\n");
    constexpr uint64_t kEnd = 1ull << 52;
    if (address >= kEnd) return std::nullopt;
    return Page{.at = Gpa{address}, .left = kEnd - address};
  }
  const std::optional<Half> half = HalfOf(registers_, address);
  if (!half || half->disabled || !InHalf(*half, address)) {
    if (trace != nullptr) absl::StrAppend(trace, "outside both halves\n");
    return std::nullopt;
  }
  if (trace != nullptr) {
    absl::StrAppendFormat(trace, "%u-bit addresses, pages of %u KiB, %s %#x\n",
                          half->address_bits, (1u << half->granule) / 1024,
                          half->name, half->root);
  }
  return Walk(memory, *half, address, trace);
}

std::optional<AddressSpace::Page> Arm64AddressSpace::Translate(
    const GuestMemory& memory, uint64_t address) const {
  return Find(memory, address, nullptr);
}

std::string Arm64AddressSpace::Explain(const GuestMemory& memory,
                                       uint64_t address) const {
  std::string text;
  const std::optional<Page> page = Find(memory, address, &text);
  if (!page) return absl::StrCat(text, "not mapped\n");
  absl::StrAppendFormat(&text, "%#x is at %#x, physical\n", address,
                        page->at.value);
  return text;
}

std::vector<CoreMapping> Arm64AddressSpace::Mappings(const GuestMemory& memory,
                                                     size_t most) const {
  if ((registers_.sctlr & kSctlrTranslates) == 0) return {};
  MappingWalk walk(memory, most);
  // The kernel's half first: there may be more mappings than are kept.
  for (const bool upper : {true, false}) {
    const std::optional<Half> half =
        HalfOf(registers_, upper ? 1ull << kUpperHalf : 0);
    if (!half || half->disabled) continue;
    const auto decode = [&half](uint64_t entry, int level) -> TableEntry {
      using Kind = TableEntry::Kind;
      if ((entry & kValid) == 0) return {};
      const uint64_t at = AddressIn(*half, entry);
      const bool more = (entry & kTableOrPage) != 0;
      const int theirs = kLastLevel + 1 - level;  // the Arm ARM's number
      if (theirs < kLastLevel && more) return {.kind = Kind::kTable, .at = at};
      const bool leaf =
          theirs == kLastLevel ? more : BlockAllowed(*half, theirs);
      if (!leaf) return {};
      return {.kind = Kind::kPage, .at = at};
    };
    const TableShape shape{.page_bits = half->granule,
                           .index_bits = half->index_bits(),
                           .entry_bytes = 8,
                           .levels = half->levels(),
                           .decode = decode};
    const unsigned below =
        half->granule +
        half->index_bits() * static_cast<unsigned>(half->levels() - 1);
    const uint64_t entries = 1ull << (half->address_bits - below);
    walk.Walk(shape, RootOf(*half), 0, entries,
              upper ? ~0ull << half->address_bits : 0);
  }
  return walk.Take();
}

}  // namespace kvmlet::arch::arm64
