// SPDX-License-Identifier: Apache-2.0
// What the guest must not see of a single step: the interrupt masks that kept
// interrupts out of it, and exclusive sequences that a step in their middle
// would never let succeed. And what an exception looks like that the monitor
// enters in the guest's stead, because KVM handed it out.
//
// Pure functions, thread-safe. Specification: Arm ARM, C5.2 "Special-purpose
// registers" (DAIF), D1.3 "Exceptions", B2.12 "Synchronization and semaphores".
#ifndef KVMLET_ARCH_ARM64_DEBUG_STEP_RULES_H_
#define KVMLET_ARCH_ARM64_DEBUG_STEP_RULES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace kvmlet::arch::arm64 {

inline constexpr uint64_t kPstateF = 1 << 6;
inline constexpr uint64_t kPstateI = 1 << 7;
inline constexpr uint64_t kPstateInterrupts = kPstateI | kPstateF;
inline constexpr uint64_t kPstateStep = 1 << 21;

// Before a step, with the guest's own masks.
struct StepStart {
  uint64_t pc = 0;
  uint64_t pstate = 0;
  std::optional<uint32_t> instruction{};  // when its memory can be read
};
// After it, or after it was broken off.
struct StepEnd {
  uint64_t pc = 0;
  uint64_t pstate = 0;
  uint64_t spsr = 0;
  uint64_t vbar = 0;
};
// What to write so that the guest is as if it had not been masked.
struct StepRepair {
  std::optional<uint64_t> pstate{};
  std::optional<uint64_t> spsr{};
  // This X register read the masks.
  std::optional<size_t> reader{};
};
StepRepair RepairStep(const StepStart& start, const StepEnd& end);
// The masks in a value that was read while they were ours.
constexpr uint64_t OwnMasks(uint64_t value, uint64_t pstate) {
  return (value & ~kPstateInterrupts) | (pstate & kPstateInterrupts);
}

bool StartsExclusive(uint32_t instruction);
// `code` starts at `pc`. Where the exclusive sequence that begins there is
// left, by its end or by a branch; empty when none begins there, or it cannot
// be followed.
std::vector<uint64_t> ExclusiveLandings(uint64_t pc,
                                        std::span<const uint32_t> code);
inline constexpr size_t kLongestExclusive = 16;  // instructions

struct ExceptionState {
  uint64_t pc = 0;
  uint64_t pstate = 0;
  uint64_t elr = 0;
  uint64_t spsr = 0;
  uint64_t esr = 0;
  uint64_t vbar = 0;
  uint64_t sctlr = 0;
};
// A synchronous exception with this syndrome, taken to EL1.
ExceptionState EnterException(const ExceptionState& before, uint64_t syndrome);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_DEBUG_STEP_RULES_H_
