// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/debug_slots.h"

#include <algorithm>
#include <bit>

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kInstruction = 4;
constexpr uint64_t kWindow = 8;          // of the byte address select
constexpr uint64_t kMost = 1ull << 31;   // of the address mask
constexpr uint64_t kWidestAccess = 256;  // DC ZVA, two SVE registers
constexpr uint64_t kEnable = 1;
constexpr uint64_t kFromEl1AndEl0 = 3 << 1;
constexpr unsigned kLoadStore = 3;
constexpr unsigned kByteSelect = 5;
constexpr unsigned kMask = 24;
constexpr unsigned kVaBits = 52;

uint64_t Accesses(BreakKind kind) {
  switch (kind) {
    case BreakKind::kRead:
      return 1;
    case BreakKind::kWrite:
      return 2;
    case BreakKind::kExecute:
    case BreakKind::kAccess:
      return 3;
  }
  return 3;
}

// The value registers take a virtual address whose upper bits repeat the
// topmost of the address space.
uint64_t SignExtended(uint64_t address) {
  constexpr unsigned kUnused = 64 - (kVaBits + 1);
  return static_cast<uint64_t>(static_cast<int64_t>(address << kUnused) >>
                               kUnused);
}

// As much of the range's start as one watchpoint holds.
uint64_t FirstPart(uint64_t address, uint64_t length) {
  if (length > kWindow && address % (2 * kWindow) == 0) {
    const uint64_t aligned = address == 0 ? kMost : address & (~address + 1);
    const uint64_t part = std::min({std::bit_floor(length), aligned, kMost});
    if (part > kWindow) return part;
  }
  return std::min(length, kWindow - address % kWindow);
}

}  // namespace

DebugRegisters EncodeSlot(const DebugSlot& slot) {
  if (slot.kind == BreakKind::kExecute) {
    constexpr uint64_t kWholeInstruction = 0xf;
    return {
        .control = kEnable | kFromEl1AndEl0 | kWholeInstruction << kByteSelect,
        .value = SignExtended(slot.address & ~(kInstruction - 1))};
  }
  const uint64_t control =
      kEnable | kFromEl1AndEl0 | Accesses(slot.kind) << kLoadStore;
  if (slot.length > kWindow) {
    const auto bits = static_cast<uint64_t>(std::countr_zero(slot.length));
    return {.control = control | 0xffull << kByteSelect | bits << kMask,
            .value = SignExtended(slot.address)};
  }
  const uint64_t bytes = ((1ull << slot.length) - 1) << slot.address % kWindow;
  return {.control = control | bytes << kByteSelect,
          .value = SignExtended(slot.address & ~(kWindow - 1))};
}

std::vector<DebugSlot> CutSlots(BreakKind kind, uint64_t address,
                                uint64_t length, size_t most) {
  if (kind == BreakKind::kExecute) {
    if (address % kInstruction != 0) return {};
    return {{.kind = kind, .address = address, .length = kInstruction}};
  }
  if (length == 0 || address + length - 1 < address) return {};
  std::vector<DebugSlot> slots;
  while (length > 0 && slots.size() < most) {
    const uint64_t part = FirstPart(address, length);
    slots.push_back({.kind = kind,
                     .address = address,
                     .length = static_cast<uint32_t>(part)});
    address += part;
    length -= part;
  }
  if (length > 0) return {};
  return slots;
}

std::optional<size_t> WatchedBy(std::span<const DebugSlot> slots,
                                uint64_t far) {
  std::optional<size_t> nearest;
  uint64_t distance = kWidestAccess;
  for (size_t i = 0; i < slots.size(); ++i) {
    const DebugSlot& slot = slots[i];
    if (slot.kind == BreakKind::kExecute) continue;
    if (far >= slot.address && far - slot.address < slot.length) return i;
    if (far > slot.address || slot.address - far >= distance) continue;
    nearest = i;
    distance = slot.address - far;
  }
  return nearest;
}

}  // namespace kvmlet::arch::arm64
