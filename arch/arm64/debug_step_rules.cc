// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/debug_step_rules.h"

#include <algorithm>

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kInstruction = 4;
constexpr uint64_t kVectorSize = 0x80;
constexpr uint64_t kVectors = 16;
constexpr unsigned kMaskShift = 6;  // of DAIF's immediate in PSTATE

// C6.2: MSR (immediate), MSR (register), MRS, ERET.
bool SetsMasks(uint32_t code) { return (code & 0xfffff0ff) == 0xd50340df; }
bool ClearsMasks(uint32_t code) { return (code & 0xfffff0ff) == 0xd50340ff; }
bool WritesMasks(uint32_t code) { return (code & 0xffffffe0) == 0xd51b4220; }
bool ReadsMasks(uint32_t code) { return (code & 0xffffffe0) == 0xd53b4220; }
bool Returns(uint32_t code) {
  return code == 0xd69f03e0 || code == 0xd69f0bff || code == 0xd69f0fff;
}
uint64_t MaskOperand(uint32_t code) {
  return static_cast<uint64_t>(code >> 8 & 0xf) << kMaskShift;
}

// C4.1.94, "Load/store exclusive register" and "pair".
bool StoresExclusive(uint32_t code) {
  return (code & 0x3fe00000) == 0x08000000 || (code & 0xbfe00000) == 0x88200000;
}

int64_t Signed(uint64_t value, unsigned bits) {
  const unsigned unused = 64 - bits;
  return static_cast<int64_t>(value << unused) >> unused;
}

// Where a conditional branch leads; nullopt for everything else.
std::optional<uint64_t> BranchTarget(uint64_t pc, uint32_t code) {
  int64_t words = 0;
  if ((code & 0xff000000) == 0x54000000 || (code & 0x7e000000) == 0x34000000) {
    words = Signed(code >> 5 & 0x7ffff, 19);
  } else if ((code & 0x7e000000) == 0x36000000) {
    words = Signed(code >> 5 & 0x3fff, 14);
  } else {
    return std::nullopt;
  }
  return pc + static_cast<uint64_t>(words) * kInstruction;
}

// C4.1: branches, exception-generating and system instructions.
bool LeavesTheSequence(uint32_t code) {
  return (code & 0x1c000000) == 0x14000000;
}

bool InVectors(const StepStart& start, const StepEnd& end) {
  const uint64_t offset = end.pc - end.vbar;
  return end.pc != start.pc + kInstruction && offset < kVectors * kVectorSize &&
         offset % kVectorSize == 0;
}

}  // namespace

StepRepair RepairStep(const StepStart& start, const StepEnd& end) {
  // An exception: the masks went into the saved state, and are set anyway.
  if (InVectors(start, end)) {
    uint64_t spsr = OwnMasks(end.spsr, start.pstate);
    if ((start.pstate & kPstateStep) == 0) spsr &= ~kPstateStep;
    return {.spsr = spsr};
  }
  const bool done = end.pc != start.pc;
  const uint32_t code = done ? start.instruction.value_or(0) : 0;
  if (Returns(code) || WritesMasks(code)) return {};
  uint64_t masks = start.pstate;
  if (SetsMasks(code)) masks |= MaskOperand(code);
  if (ClearsMasks(code)) masks &= ~MaskOperand(code);
  StepRepair repair{.pstate = OwnMasks(end.pstate, masks)};
  constexpr size_t kZeroRegister = 31;
  if (ReadsMasks(code) && (code & 31) != kZeroRegister) {
    repair.reader = code & 31;
  }
  return repair;
}

bool StartsExclusive(uint32_t code) {
  return (code & 0x3fe00000) == 0x08400000 || (code & 0xbfe00000) == 0x88600000;
}

std::vector<uint64_t> ExclusiveLandings(uint64_t pc,
                                        std::span<const uint32_t> code) {
  if (code.empty() || !StartsExclusive(code[0])) return {};
  std::vector<uint64_t> branches;
  for (size_t i = 1; i < std::min(code.size(), kLongestExclusive); ++i) {
    const uint64_t at = pc + i * kInstruction;
    if (StoresExclusive(code[i])) {
      const uint64_t end = at + kInstruction;
      std::vector<uint64_t> landings{end};
      for (const uint64_t target : branches) {
        const bool inside = target > pc && target < end;
        if (!inside && std::ranges::find(landings, target) == landings.end()) {
          landings.push_back(target);
        }
      }
      return landings;
    }
    if (const auto target = BranchTarget(at, code[i])) {
      branches.push_back(*target);
    } else if (LeavesTheSequence(code[i])) {
      return {};
    }
  }
  return {};
}

// As AArch64.TakeException has it (shared/functions/exceptions).
ExceptionState EnterException(const ExceptionState& before, uint64_t syndrome) {
  constexpr uint64_t kModes = 0xf;
  constexpr uint64_t kAArch32 = 1 << 4;
  constexpr uint64_t kEl1OwnStack = 5;
  constexpr uint64_t kDaif = 0x3c0;
  constexpr uint64_t kPan = 1 << 22;
  constexpr uint64_t kDit = 1 << 24;
  constexpr uint64_t kTco = 1 << 25;
  constexpr uint64_t kFlags = 0xfull << 28;
  constexpr uint64_t kSsbs = 1 << 12;
  constexpr uint64_t kSctlrKeepsPan = 1 << 23;
  constexpr uint64_t kSctlrSsbs = 1ull << 44;
  constexpr uint64_t kSctlrTags = 3ull << 42;  // ATA0 and ATA: tags are there
  ExceptionState after = before;
  after.elr = before.pc;
  after.spsr = before.pstate;
  after.esr = syndrome;
  uint64_t vector = 0x400;
  if ((before.pstate & kAArch32) != 0) {
    vector = 0x600;
  } else if ((before.pstate & kModes) == kEl1OwnStack) {
    vector = 0x200;
  } else if ((before.pstate & kModes) != 0) {
    vector = 0;
  }
  after.pc = before.vbar + vector;
  after.pstate =
      (before.pstate & (kFlags | kDit | kPan)) | kDaif | kEl1OwnStack;
  if ((before.sctlr & kSctlrKeepsPan) == 0) after.pstate |= kPan;
  if ((before.sctlr & kSctlrSsbs) != 0) after.pstate |= kSsbs;
  if ((before.sctlr & kSctlrTags) != 0) after.pstate |= kTco;
  return after;
}

}  // namespace kvmlet::arch::arm64
