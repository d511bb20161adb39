// SPDX-License-Identifier: Apache-2.0
// Hardware breakpoints and watchpoints as the Armv8 debug architecture has
// them: how a range is cut into watchpoints, what the control and value
// registers of each hold, and which one a hit belongs to. Breakpoints and
// watchpoints have pools of their own, filled in the order of the slots.
//
// Pure functions, thread-safe; bytes. Specification: Arm ARM, D2.8
// "Breakpoint exceptions" and D2.10 "Watchpoint exceptions"; DBGBCR<n>_EL1 and
// DBGWCR<n>_EL1 in D19.3.
#ifndef KVMLET_ARCH_ARM64_DEBUG_SLOTS_H_
#define KVMLET_ARCH_ARM64_DEBUG_SLOTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "arch/debug.h"

namespace kvmlet::arch::arm64 {

// What one pair of debug registers holds.
struct DebugRegisters {
  uint64_t control = 0;
  uint64_t value = 0;
};
DebugRegisters EncodeSlot(const DebugSlot& slot);

// The slots that watch [address, address + length), at most `most`; empty when
// it takes more, or none can.
std::vector<DebugSlot> CutSlots(BreakKind kind, uint64_t address,
                                uint64_t length, size_t most);

// The slot that a watchpoint's fault address belongs to. An access that is
// wider than what is watched may report an address below it.
std::optional<size_t> WatchedBy(std::span<const DebugSlot> slots, uint64_t far);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_DEBUG_SLOTS_H_
