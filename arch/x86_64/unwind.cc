// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/unwind.h"

#include <algorithm>
#include <array>
#include <utility>

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kWord = 8;
// Where Linux has its image and its modules (Documentation/arch/x86/x86_64/
// mm.rst), and where its half of the addresses begins.
constexpr TextRange kCode{0xffffffff80000000, 0xffffffffff000000};
constexpr uint64_t kKernelHalf = 0xff00000000000000;
// THREAD_SIZE and IRQ_STACK_SIZE; with KASAN they are twice that.
constexpr uint64_t kStackSize = 16 << 10;
constexpr uint64_t kPage = 4 << 10;
// __USER_DS: the last word of a task's stack is the user's SS.
constexpr uint64_t kUserStackSegment = 0x2b;
constexpr size_t kMostWords = 16 << 10;
constexpr size_t kMostHops = 4;
// struct pt_regs.
constexpr uint64_t kRegsR13 = 2 * kWord;
constexpr uint64_t kRegsBp = 4 * kWord;
constexpr uint64_t kRegsR10 = 7 * kWord;
constexpr uint64_t kRegsDx = 12 * kWord;
constexpr uint64_t kRegsDi = 14 * kWord;
constexpr uint64_t kRegsIp = 16 * kWord;
constexpr uint64_t kRegsCs = 17 * kWord;
constexpr uint64_t kRegsSp = 19 * kWord;
constexpr uint64_t kUserMode = 3;  // of a code segment's selector
// A frame pointer that is a pt_regs says so in its lowest bit.
constexpr uint64_t kEncodedRegs = 1;

uint64_t Plus(uint64_t base, int64_t offset) {
  return base + static_cast<uint64_t>(offset);
}

std::optional<TextRange> Range(const KernelFile& file, uint64_t offset,
                               std::string_view start, std::string_view end) {
  const auto a = file.AddressOf(start);
  const auto b = file.AddressOf(end);
  if (!a || !b || *a >= *b) return std::nullopt;
  return TextRange{*a + offset, *b + offset};
}

}  // namespace

KernelText FindText(const KernelFile& file, uint64_t offset) {
  KernelText out;
  out.text = Range(file, offset, "_stext", "_etext").value_or(TextRange{});
  out.init =
      Range(file, offset, "_sinittext", "_einittext").value_or(TextRange{});
  out.image = Range(file, offset, "_text", "_end").value_or(out.text);
  return out;
}

void Unwinder::Add(uint64_t pc, bool exact, bool guessed) {
  out_.frames.push_back({.pc = pc, .exact = exact, .guessed = guessed});
}

// Intel SDM volume 2, CALL: E8 rel32, or FF /2 with whatever operand.
bool Unwinder::FollowsCall(uint64_t address) const {
  constexpr size_t kLongest = 7;
  std::array<std::byte, kLongest> code{};
  if (!view_.Read(address - kLongest, code)) return false;
  const auto at = [&code](size_t back) {
    return std::to_integer<unsigned>(code[kLongest - back]);
  };
  if (at(5) == 0xe8) return true;
  for (size_t length = 2; length <= kLongest; ++length) {
    if (at(length) == 0xff && (at(length - 1) >> 3 & 7) == 2) return true;
  }
  return false;
}

bool Unwinder::IsReturnAddress(uint64_t address) const {
  if (!kCode.Contains(address)) return false;
  const bool known = text_.text.start != 0;
  if (known && text_.image.Contains(address) && !text_.text.Contains(address) &&
      !text_.init.Contains(address)) {
    return false;
  }
  return FollowsCall(address);
}

std::optional<OrcEntry> Unwinder::EntryHere() const {
  if (orc_ == nullptr) return std::nullopt;
  // A call that never returns may be the last instruction of its function.
  return orc_->Find(now_.ip - offset_ - (exact_ ? 0 : 1));
}

std::optional<uint64_t> Unwinder::PreviousSp(const OrcEntry& entry) const {
  switch (entry.sp) {
    case OrcRegister::kSp:
      return Plus(now_.sp, entry.sp_offset);
    case OrcRegister::kBp:
      return Plus(now_.bp, entry.sp_offset);
    case OrcRegister::kBpIndirect:
      return view_.Load<uint64_t>(Plus(now_.bp, entry.sp_offset));
    case OrcRegister::kSpIndirect: {
      const auto sp = view_.Load<uint64_t>(now_.sp);
      if (!sp) return std::nullopt;
      return Plus(*sp, entry.sp_offset);
    }
    case OrcRegister::kR10:
    case OrcRegister::kR13:
    case OrcRegister::kDx:
    case OrcRegister::kDi:
      break;
    default:
      return std::nullopt;
  }
  // Stacks that were realigned, and entry code; where they were not saved
  // nobody knows them any more.
  if (!scratch_known_) return std::nullopt;
  if (entry.sp == OrcRegister::kR10) return now_.r10;
  if (entry.sp == OrcRegister::kR13) return now_.r13;
  return entry.sp == OrcRegister::kDx ? now_.dx : now_.di;
}

// The return address lies below the caller's stack pointer.
bool Unwinder::TakeCall(uint64_t sp) {
  const auto ip = view_.Load<uint64_t>(sp - kWord);
  if (!ip || sp == now_.sp || !kCode.Contains(*ip)) return false;
  now_.ip = *ip;
  now_.sp = sp;
  exact_ = false;
  scratch_known_ = false;
  return true;
}

Unwinder::Step Unwinder::TakeRegs(uint64_t at, bool partial) {
  const auto cs = view_.Load<uint64_t>(at + kRegsCs);
  const auto ip = view_.Load<uint64_t>(at + kRegsIp);
  const auto sp = view_.Load<uint64_t>(at + kRegsSp);
  if (!cs || !ip || !sp) return Step::kStuck;
  if ((*cs & kUserMode) != 0) return Step::kDone;
  if (!kCode.Contains(*ip)) return Step::kStuck;
  now_.ip = *ip;
  now_.sp = *sp;
  exact_ = true;
  scratch_known_ = !partial;
  if (!partial) {
    // All of it is there when what lies above it is.
    now_.bp = view_.Load<uint64_t>(at + kRegsBp).value_or(0);
    now_.r10 = view_.Load<uint64_t>(at + kRegsR10).value_or(0);
    now_.r13 = view_.Load<uint64_t>(at + kRegsR13).value_or(0);
    now_.dx = view_.Load<uint64_t>(at + kRegsDx).value_or(0);
    now_.di = view_.Load<uint64_t>(at + kRegsDi).value_or(0);
  }
  return Step::kFrame;
}

Unwinder::Step Unwinder::ByOrc() {
  const std::optional<OrcEntry> entry = EntryHere();
  if (!entry) return Step::kStuck;
  if (entry->type == OrcEntry::Type::kEnd) return Step::kDone;
  if (entry->type == OrcEntry::Type::kUndefined) return Step::kStuck;
  const std::optional<uint64_t> sp = PreviousSp(*entry);
  if (!sp) return Step::kStuck;
  const uint64_t bp = now_.bp;
  if (entry->type == OrcEntry::Type::kCall) {
    if (!TakeCall(*sp)) return Step::kStuck;
  } else {
    const bool partial = entry->type == OrcEntry::Type::kPartialRegs;
    // Of these only what the processor pushed is there.
    const Step step = TakeRegs(partial ? *sp - kRegsIp : *sp, partial);
    if (step != Step::kFrame) return step;
  }
  if (entry->bp == OrcRegister::kPreviousSp) {
    now_.bp = view_.Load<uint64_t>(Plus(*sp, entry->bp_offset)).value_or(0);
  } else if (entry->bp == OrcRegister::kBp) {
    now_.bp = view_.Load<uint64_t>(Plus(bp, entry->bp_offset)).value_or(0);
  }
  // The tables only say where to look; what is there may be anything.
  Add(now_.ip, exact_, !exact_ && !IsReturnAddress(now_.ip));
  return Step::kFrame;
}

Unwinder::Step Unwinder::ByFramePointer() {
  if ((now_.bp & kEncodedRegs) != 0) {
    const Step step = TakeRegs(now_.bp - kEncodedRegs, false);
    if (step == Step::kFrame) Add(now_.ip, true, false);
    return step;
  }
  const auto next = view_.Load<uint64_t>(now_.bp);
  const auto ip = view_.Load<uint64_t>(now_.bp + kWord);
  if (!next || !ip || !IsReturnAddress(*ip)) return Step::kDone;
  Add(*ip, false, false);
  now_.ip = *ip;
  now_.sp = now_.bp + 2 * kWord;
  exact_ = false;
  // Frames lie one above the other, or on another stack.
  if (*next == now_.bp) return Step::kDone;
  now_.bp = *next;
  return Step::kFrame;
}

// Two links, the first of them near the stack pointer: a register with
// something else in it does not look like that.
bool Unwinder::FramesMakeChain() const {
  uint64_t bp = now_.bp;
  if (bp < now_.sp || bp - now_.sp > kStackSize) return false;
  for (int link = 0; link < 2; ++link) {
    if (bp % kWord != 0) return link > 0;
    const auto next = view_.Load<uint64_t>(bp);
    const auto ip = view_.Load<uint64_t>(bp + kWord);
    if (!next || !ip || !IsReturnAddress(*ip) || *next <= bp) return false;
    bp = *next;
  }
  return true;
}

// A stack that is mapped for itself ends before a hole and begins at any page;
// one out of the kernel's linear mapping ends at a multiple of its size, and
// another one may follow.
Unwinder::Step Unwinder::AtPageEnd(uint64_t at, uint64_t word) {
  const bool hole = !view_.Load<uint64_t>(now_.sp);
  if (!hole && now_.sp % kStackSize != 0) return Step::kFrame;
  // The last word of an interrupt's stack is where it came from.
  const bool link = word >= kKernelHalf && word % kWord == 0 &&
                    at - word >= kStackSize && !kCode.Contains(word);
  if (link) {
    now_.sp = word;
    return ++hops_ > kMostHops ? Step::kDone : Step::kFrame;
  }
  return hole || word == kUserStackSegment ? Step::kDone : Step::kFrame;
}

// The next word of this stack that is a return address.
Unwinder::Step Unwinder::ByScan() {
  while (words_ < kMostWords) {
    const uint64_t at = (now_.sp + kWord - 1) / kWord * kWord;
    if (at < kKernelHalf) return Step::kDone;
    const auto word = view_.Load<uint64_t>(at);
    if (!word) return Step::kDone;
    ++words_;
    now_.sp = at + kWord;
    if (IsReturnAddress(*word)) {
      now_.ip = *word;
      exact_ = false;
      scratch_known_ = false;
      Add(*word, false, true);
      return Step::kFrame;
    }
    if (now_.sp % kPage != 0) continue;
    const Step step = AtPageEnd(at, *word);
    if (step != Step::kFrame) return step;
  }
  return Step::kDone;
}

// Somebody has called a pointer that leads nowhere: the caller's address is
// the last that came onto the stack.
void Unwinder::LeaveNowhere() {
  const auto word = view_.Load<uint64_t>(now_.sp);
  if (!word || !IsReturnAddress(*word)) return;
  now_.ip = *word;
  now_.sp += kWord;
  exact_ = false;
  scratch_known_ = false;
  Add(*word, false, true);
}

Backtrace Unwinder::Unwind(const UnwindRegisters& start) {
  now_ = start;
  Add(now_.ip, true, false);
  if (!kCode.Contains(now_.ip)) LeaveNowhere();
  const bool chain = orc_ == nullptr && FramesMakeChain();
  out_.method = orc_ != nullptr ? "ORC"
                : chain         ? "frame pointers"
                                : "stack scan";
  Step step = Step::kFrame;
  while (step == Step::kFrame && out_.frames.size() < kMostFrames) {
    if (chain) {
      step = ByFramePointer();
    } else {
      step = orc_ != nullptr ? ByOrc() : Step::kStuck;
      if (step == Step::kStuck) step = ByScan();
    }
    if (step != Step::kFrame) break;
    // Been here: a circle.
    if (std::ranges::find(seen_, now_.sp) != seen_.end()) {
      out_.frames.pop_back();
      break;
    }
    seen_.push_back(now_.sp);
  }
  return std::move(out_);
}

}  // namespace kvmlet::arch::x86_64
