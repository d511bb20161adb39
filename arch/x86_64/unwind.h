// SPDX-License-Identifier: Apache-2.0
// Who called whom on the stack of a vCPU that runs Linux: by the ORC tables of
// the kernel's file where there are any, else by frame pointers where they make
// a chain, else by looking for return addresses on the stack, which are then
// marked as guesses. One stretch that the tables do not know, a module's, is
// guessed over.
//
// Not thread-safe. The stack is the guest's: every word is loaded through the
// page walk, and frames, words and hops from one stack to another are bounded.
// Units: bytes. Specification: Documentation/arch/x86/orc-unwinder.rst;
// struct pt_regs in asm/ptrace.h.
#ifndef KVMLET_ARCH_X86_64_UNWIND_H_
#define KVMLET_ARCH_X86_64_UNWIND_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "arch/backtrace.h"
#include "arch/common/guest_view.h"
#include "arch/x86_64/orc.h"

namespace kvmlet::arch::x86_64 {

// What an unwinder starts from.
struct UnwindRegisters {
  uint64_t ip = 0;
  uint64_t sp = 0;
  uint64_t bp = 0;
  uint64_t r10 = 0;
  uint64_t r13 = 0;
  uint64_t dx = 0;
  uint64_t di = 0;
};

// The kernel's text as it runs, [start, end); empty when the file does not say.
struct TextRange {
  uint64_t start = 0;
  uint64_t end = 0;
  bool Contains(uint64_t address) const {
    return address >= start && address < end;
  }
};

struct KernelText {
  TextRange image;  // all of the kernel proper
  TextRange text;
  TextRange init;
};
KernelText FindText(const KernelFile& file, uint64_t offset);

class Unwinder {
 public:
  // `orc` may be null; the kernel runs at its file's addresses plus `offset`.
  Unwinder(const GuestView& view, const OrcTable* orc, const KernelText& text,
           uint64_t offset)
      : view_(view), orc_(orc), text_(text), offset_(offset) {}

  Backtrace Unwind(const UnwindRegisters& start);

 private:
  enum class Step { kDone, kFrame, kStuck };
  Step ByOrc();
  Step ByFramePointer();
  Step ByScan();
  Step AtPageEnd(uint64_t at, uint64_t word);
  void LeaveNowhere();
  std::optional<OrcEntry> EntryHere() const;
  std::optional<uint64_t> PreviousSp(const OrcEntry& entry) const;
  bool TakeCall(uint64_t sp);
  Step TakeRegs(uint64_t at, bool partial);
  bool FramesMakeChain() const;
  bool IsReturnAddress(uint64_t address) const;
  bool FollowsCall(uint64_t address) const;
  void Add(uint64_t pc, bool exact, bool guessed);

  const GuestView& view_;
  const OrcTable* orc_;
  const KernelText text_;
  const uint64_t offset_;
  UnwindRegisters now_;
  bool scratch_known_ = true;   // R10, R13, DX and DI
  bool exact_ = true;           // now_.ip is not a return address
  size_t words_ = 0;            // looked at
  size_t hops_ = 0;             // from stack to stack, by scanning
  std::vector<uint64_t> seen_;  // stack pointers
  Backtrace out_;
};

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_UNWIND_H_
