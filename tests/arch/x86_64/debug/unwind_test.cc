// SPDX-License-Identifier: Apache-2.0
// Backtraces of stacks as Linux makes them, with ORC tables made by hand in
// both layouts, with frame pointers and with neither; and of stacks that lead
// nowhere.
#include "arch/x86_64/unwind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.h"

namespace kvmlet::arch::x86_64 {
namespace {

using testing::ElementsAre;

constexpr uint64_t kText = 0xffffffff81000000;
constexpr uint64_t kTextSize = 0x10000;
constexpr uint64_t kModule = 0xffffffffc0000000;
constexpr uint64_t kStack = 0xffffc90000000000;
constexpr uint64_t kOtherStack = 0xfffffe0000010000;
constexpr uint64_t kStackSize = 0x4000;
// Linux aligns the stacks of interrupts to pages only, with a hole behind them.
constexpr uint64_t kOddStack = 0xffffc90000105000;
constexpr uint64_t kKaslr = 0x1c000000;
constexpr uint64_t kOrcIp = 0xffffffff82000000;

BacktraceFrame At(uint64_t pc) { return {.pc = pc, .exact = true}; }
BacktraceFrame Call(uint64_t pc) { return {.pc = pc}; }
BacktraceFrame Guess(uint64_t pc) { return {.pc = pc, .guessed = true}; }

// An entry in the numbers of the old layout (type 0 to 2) or the new.
struct Orc {
  uint64_t address;
  OrcRegister sp;
  int16_t sp_offset = 0;
  OrcEntry::Type type = OrcEntry::Type::kCall;
  OrcRegister bp = OrcRegister::kUndefined;
  int16_t bp_offset = 0;
};

class UnwindTest : public testing::Test {
 protected:
  UnwindTest() {
    file_.symbols_ = {{"_text", kText},
                      {"_stext", kText},
                      {"_etext", kText + kTextSize},
                      {"_end", kText + 0x200000}};
  }

  void Store(uint64_t address, uint64_t value) {
    const auto page = space_.Translate(memory_, address);
    ASSERT_TRUE(page);
    ASSERT_TRUE(memory_.Store(page->at, value));
  }
  // The address after a call there, wherever the kernel runs.
  uint64_t CallAt(uint64_t address) {
    const auto page = space_.Translate(memory_, address + offset_);
    EXPECT_TRUE(page && memory_.Store(page->at, uint8_t{0xe8}));
    return address + offset_ + 5;
  }
  void SetOrc(const std::vector<Orc>& table, bool old_layout) {
    std::vector<std::byte> ips, entries;
    const auto add = [](std::vector<std::byte>& out, const auto& value) {
      const auto bytes = std::as_bytes(std::span(&value, 1));
      out.insert(out.end(), bytes.begin(), bytes.end());
    };
    for (size_t i = 0; i < table.size(); ++i) {
      const Orc& orc = table[i];
      add(ips, static_cast<int32_t>(orc.address - (kOrcIp + 4 * i)));
      add(entries, orc.sp_offset);
      add(entries, orc.bp_offset);
      auto type = static_cast<unsigned>(orc.type);  // kEnd, kCall, ...
      if (old_layout) {
        type = orc.type == OrcEntry::Type::kEnd ? 4 : type - 1;
      } else {
        type += 1;
      }
      add(entries, static_cast<uint16_t>(static_cast<unsigned>(orc.sp) |
                                         static_cast<unsigned>(orc.bp) << 4 |
                                         type << 8));
    }
    file_.sections_[".orc_unwind_ip"] = {kOrcIp, ips};
    file_.sections_[".orc_unwind"] = {kOrcIp + 0x100000, entries};
  }
  Backtrace Unwind(const UnwindRegisters& registers) {
    const OrcTable orc(file_);
    const GuestView view(space_, memory_);
    return Unwinder(view, orc.empty() ? nullptr : &orc,
                    FindText(file_, offset_), offset_)
        .Unwind(registers);
  }

  // A leaf that has pushed a register and made room, its caller with RBP as
  // its frame, and an entry from user mode; in between a kernel-mode interrupt.
  std::vector<Orc> Table() const {
    using enum OrcRegister;
    using Type = OrcEntry::Type;
    return {{kText, kSp, 8},
            {kText + 0x10, kSp, 0x20},
            {kText + 0x100, kBp, 16, Type::kCall, kPreviousSp, -16},
            {kText + 0x200, kSp, 0, Type::kRegs},
            {kText + 0x300, kSp, 8},
            {kText + 0x400, kSp, 0, Type::kRegs},
            {kText + 0x500, kUndefined, 0, Type::kEnd}};
  }
  void MakeOrcStack() {
    uint64_t at = kStack + 0x100;
    Store(at + 0x18, CallAt(kText + 0x150));  // 0x20 up, less the address
    // The caller's frame: its RBP and where it returns to.
    const uint64_t frame = kStack + 0x200;
    Store(frame, 0x1111);
    Store(frame + 8, CallAt(kText + 0x240));
    // What the interrupt saved, in struct pt_regs.
    const uint64_t regs = frame + 16;
    Store(regs + 4 * 8, 0x2222);                    // RBP
    Store(regs + 16 * 8, kText + offset_ + 0x300);  // RIP: a function's start
    Store(regs + 17 * 8, 0x10);
    Store(regs + 19 * 8, kStack + 0x800);
    Store(kStack + 0x800, CallAt(kText + 0x440));
    // From user mode.
    Store(kStack + 0x808 + 16 * 8, 0x401000);
    Store(kStack + 0x808 + 17 * 8, 0x33);
    Store(kStack + 0x808 + 19 * 8, 0x7ffff000);
  }
  void ExpectOrcStack() {
    MakeOrcStack();
    const Backtrace out = Unwind({.ip = kText + offset_ + 0x20,
                                  .sp = kStack + 0x100,
                                  .bp = kStack + 0x200});
    EXPECT_EQ(out.method, "ORC");
    EXPECT_THAT(
        out.frames,
        ElementsAre(At(kText + offset_ + 0x20), Call(kText + offset_ + 0x155),
                    Call(kText + offset_ + 0x245), At(kText + offset_ + 0x300),
                    Call(kText + offset_ + 0x445)));
  }

  uint64_t offset_ = 0;
  GuestMemory memory_ = FakeKernelMemory(1 << 20);
  FakeSpace space_{{{kText, kTextSize, 0},
                    {kText + kKaslr, kTextSize, 0},
                    {kModule, 0x1000, 0x20000},
                    {kStack, kStackSize, 0x30000},
                    {kOtherStack, kStackSize, 0x40000},
                    {kOddStack, kStackSize, 0x50000}}};
  FakeKernelFile file_;
};

TEST_F(UnwindTest, OrcOfLinux64AndLater) {
  SetOrc(Table(), /*old_layout=*/false);
  EXPECT_FALSE(OrcTable(file_).old_layout());
  ExpectOrcStack();
}

TEST_F(UnwindTest, OrcOfOlderLinux) {
  SetOrc(Table(), /*old_layout=*/true);
  EXPECT_TRUE(OrcTable(file_).old_layout());
  ExpectOrcStack();
}

TEST_F(UnwindTest, OrcOfAKernelThatWasMoved) {
  offset_ = kKaslr;
  SetOrc(Table(), /*old_layout=*/false);
  ExpectOrcStack();
}

TEST_F(UnwindTest, TablesThatNobodySorted) {
  std::vector<Orc> table = Table();
  std::ranges::reverse(table);
  SetOrc(table, /*old_layout=*/false);
  ExpectOrcStack();
}

// A module has tables of its own, which the kernel's file has not.
TEST_F(UnwindTest, OrcGuessesOverAModule) {
  SetOrc(Table(), /*old_layout=*/false);
  Store(kStack + 0x100, kText + 0x150);  // no call is before it
  Store(kStack + 0x108, CallAt(kText + 0x20));
  Store(kStack + 0x110 + 0x18, CallAt(kText + 0x40));
  const Backtrace out = Unwind({.ip = kModule + 0x10, .sp = kStack + 0x100});
  EXPECT_EQ(out.method, "ORC");
  ASSERT_GE(out.frames.size(), 3u);
  EXPECT_EQ(out.frames[0], At(kModule + 0x10));
  EXPECT_EQ(out.frames[1], Guess(kText + 0x25));
  EXPECT_EQ(out.frames[2], Call(kText + 0x45));
}

// The tables lead to a word that no call has left there.
TEST_F(UnwindTest, AnOrcFrameThatNothingSupportsIsAGuess) {
  SetOrc(Table(), /*old_layout=*/false);
  Store(kStack + 0x118, kText + 0x40);  // no call is before it
  Store(kStack + 0x138, CallAt(kText + 0x80));
  const Backtrace out = Unwind({.ip = kText + 0x20, .sp = kStack + 0x100});
  ASSERT_GE(out.frames.size(), 3u);
  EXPECT_EQ(out.frames[1], Guess(kText + 0x40));
  EXPECT_EQ(out.frames[2], Call(kText + 0x85));
}

// A call of a pointer that leads nowhere: the caller's address is on top.
TEST_F(UnwindTest, ACrashOutsideTheTextIsTheFirstFrame) {
  for (const uint64_t nowhere : {uint64_t{0}, kStack + 0x800, ~uint64_t{0}}) {
    SetOrc(Table(), /*old_layout=*/false);
    Store(kStack + 0x100, CallAt(kText + 0x20));
    Store(kStack + 0x108 + 0x18, CallAt(kText + 0x40));
    const Backtrace out = Unwind({.ip = nowhere, .sp = kStack + 0x100});
    ASSERT_GE(out.frames.size(), 3u) << nowhere;
    EXPECT_EQ(out.frames[0], At(nowhere));
    EXPECT_EQ(out.frames[1], Guess(kText + 0x25));
    EXPECT_EQ(out.frames[2], Call(kText + 0x45));
  }
}

TEST_F(UnwindTest, TablesThatDoNotFitTogetherAreNone) {
  SetOrc(Table(), /*old_layout=*/false);
  file_.sections_[".orc_unwind"].second.resize(11);
  EXPECT_TRUE(OrcTable(file_).empty());
}

TEST_F(UnwindTest, FramePointersWithoutTables) {
  Store(kStack + 0x100, kStack + 0x200);
  Store(kStack + 0x108, CallAt(kText + 0x40));
  Store(kStack + 0x200, kStack + 0x300);
  Store(kStack + 0x208, CallAt(kText + 0x80));
  // An interrupt: the frame pointer says that these are registers.
  Store(kStack + 0x300, (kStack + 0x400) | 1);
  Store(kStack + 0x308, CallAt(kText + 0xc0));
  Store(kStack + 0x400 + 16 * 8, kText + 0x500);
  Store(kStack + 0x400 + 17 * 8, 0x10);
  Store(kStack + 0x400 + 19 * 8, kStack + 0x600);
  Store(kStack + 0x400 + 4 * 8, 0);
  const Backtrace out =
      Unwind({.ip = kText + 0x20, .sp = kStack + 0xf0, .bp = kStack + 0x100});
  EXPECT_EQ(out.method, "frame pointers");
  EXPECT_THAT(out.frames, ElementsAre(At(kText + 0x20), Call(kText + 0x45),
                                      Call(kText + 0x85), Call(kText + 0xc5),
                                      At(kText + 0x500)));
}

TEST_F(UnwindTest, FramePointersThatLeadInACircleEnd) {
  Store(kStack + 0x100, kStack + 0x200);
  Store(kStack + 0x108, CallAt(kText + 0x40));
  Store(kStack + 0x200, kStack + 0x300);
  Store(kStack + 0x208, CallAt(kText + 0x80));
  Store(kStack + 0x300, kStack + 0x100);
  Store(kStack + 0x308, CallAt(kText + 0xc0));
  const Backtrace out =
      Unwind({.ip = kText + 0x20, .sp = kStack + 0xf0, .bp = kStack + 0x100});
  EXPECT_THAT(out.frames, ElementsAre(At(kText + 0x20), Call(kText + 0x45),
                                      Call(kText + 0x85), Call(kText + 0xc5)));
}

TEST_F(UnwindTest, WithoutEitherTheStackIsScanned) {
  Store(kStack + 0x108, CallAt(kText + 0x40));
  Store(kStack + 0x200, kText + 0x100);     // not after a call
  Store(kStack + 0x208, kText + 0x110000);  // data of the kernel
  Store(kStack + 0x300, CallAt(kModule + 0x40) - offset_);
  const Backtrace out = Unwind({.ip = kText + 0x20, .sp = kStack + 0x100});
  EXPECT_EQ(out.method, "stack scan");
  EXPECT_THAT(out.frames, ElementsAre(At(kText + 0x20), Guess(kText + 0x45),
                                      Guess(kModule + 0x45)));
}

TEST_F(UnwindTest, AScanLeavesTheStackOfAnInterrupt) {
  Store(kOtherStack + 0x3f00, CallAt(kText + 0x40));
  Store(kOtherStack + kStackSize - 8, kStack + 0x100);
  Store(kStack + 0x108, CallAt(kText + 0x80));
  // And back, where it was already.
  Store(kStack + kStackSize - 8, kOtherStack + 0x3e00);
  const Backtrace out = Unwind({.ip = kText, .sp = kOtherStack + 0x3e00});
  EXPECT_THAT(out.frames,
              ElementsAre(At(kText), Guess(kText + 0x45), Guess(kText + 0x85)));
}

TEST_F(UnwindTest, AScanLeavesAnInterruptsStackWhereverItEnds) {
  static_assert(kOddStack % kStackSize != 0);
  Store(kOddStack + 0x2f00, CallAt(kText + 0x40));
  Store(kOddStack + 0x3f00, CallAt(kText + 0x80));
  Store(kOddStack + kStackSize - 8, kStack + 0x100);
  Store(kStack + 0x108, CallAt(kText + 0xc0));
  const Backtrace out = Unwind({.ip = kText, .sp = kOddStack + 0x2e00});
  EXPECT_THAT(out.frames,
              ElementsAre(At(kText), Guess(kText + 0x45), Guess(kText + 0x85),
                          Guess(kText + 0xc5)));
}

// The top of a task's stack, where the next one follows: what the user's SS is.
TEST_F(UnwindTest, AScanEndsWithTheTasksStack) {
  Store(kStack + 0x108, CallAt(kText + 0x40));
  Store(kStack + 0x1000 - 8, 0x2b);
  Store(kStack + 0x3f00, CallAt(kText + 0x80));
  const auto frames = [this](uint64_t sp) {
    return Unwind({.ip = kText, .sp = sp}).frames;
  };
  EXPECT_THAT(frames(kStack + 0x100),
              ElementsAre(At(kText), Guess(kText + 0x45), Guess(kText + 0x85)));
  Store(kOddStack + 0x2f00, CallAt(kText + 0x40));
  Store(kOddStack + 0x3000 - 8, 0x2b);
  Store(kOddStack + 0x3f00, CallAt(kText + 0x80));
  EXPECT_THAT(frames(kOddStack + 0x2e00),
              ElementsAre(At(kText), Guess(kText + 0x45)));
}

TEST_F(UnwindTest, ALongStackIsCutOff) {
  for (uint64_t at = 0; at < kStackSize; at += 8) {
    Store(kStack + at, kText + 0x45);
  }
  CallAt(kText + 0x40);
  const Backtrace out = Unwind({.ip = kText + 0x20, .sp = kStack});
  EXPECT_EQ(out.frames.size(), kMostFrames);
}

TEST_F(UnwindTest, StacksThatAreNotThere) {
  SetOrc(Table(), /*old_layout=*/false);
  for (const uint64_t sp : {uint64_t{0}, ~uint64_t{0}, kStack - 0x1000,
                            kStack + kStackSize - 1, uint64_t{1} << 47}) {
    const Backtrace out = Unwind({.ip = kText + 0x20, .sp = sp, .bp = sp});
    EXPECT_THAT(out.frames, ElementsAre(At(kText + 0x20))) << sp;
  }
  EXPECT_THAT(Unwind({.ip = 0x100000, .sp = kStack}).frames,
              ElementsAre(At(0x100000)));
}

// Whatever the tables say, and whatever is on the stack.
TEST_F(UnwindTest, HostileTablesAndStacksEnd) {
  using enum OrcRegister;
  for (unsigned sp = 0; sp < 16; ++sp) {
    for (const int offset : {-32768, -8, 0, 8, 32767}) {
      for (const auto type : {OrcEntry::Type::kCall, OrcEntry::Type::kRegs,
                              OrcEntry::Type::kPartialRegs}) {
        SetOrc({{kText, static_cast<OrcRegister>(sp),
                 static_cast<int16_t>(offset), type, kBp, 8}},
               /*old_layout=*/false);
        for (uint64_t at = 0; at < kStackSize; at += 8) {
          Store(kStack + at, at % 16 == 0 ? kText + 0x20 : kStack + at);
        }
        const Backtrace out = Unwind({.ip = kText + 0x20,
                                      .sp = kStack + 0x100,
                                      .bp = kStack + 0x200,
                                      .r10 = kStack + 0x300});
        EXPECT_LE(out.frames.size(), kMostFrames);
      }
    }
  }
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
