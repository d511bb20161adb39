// SPDX-License-Identifier: Apache-2.0
// Chains of frame records as Linux makes them, signed and across exceptions,
// and such that lead nowhere.
#include "arch/arm64/unwind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.h"

namespace kvmlet::arch::arm64 {
namespace {

using testing::ElementsAre;

constexpr uint64_t kText = 0xffff800080000000;
constexpr uint64_t kStack = 0xffff800081000000;
constexpr uint64_t kTcr = 16 | 16 << 16;  // 48-bit addresses in both halves

BacktraceFrame At(uint64_t pc) { return {.pc = pc, .exact = true}; }
BacktraceFrame Call(uint64_t pc) { return {.pc = pc}; }
BacktraceFrame Guess(uint64_t pc) { return {.pc = pc, .guessed = true}; }

class Arm64UnwindTest : public testing::Test {
 protected:
  void Store(uint64_t address, uint64_t value) {
    const auto page = space_.Translate(memory_, address);
    ASSERT_TRUE(page);
    ASSERT_TRUE(memory_.Store(page->at, value));
  }
  void Record(uint64_t at, uint64_t fp, uint64_t lr) {
    Store(kStack + at, fp);
    Store(kStack + at + 8, lr);
  }
  std::vector<BacktraceFrame> Frames(uint64_t fp, uint64_t lr) {
    return Unwind(GuestView(space_, memory_),
                  {.pc = kText + 0x10, .fp = fp, .lr = lr, .tcr = kTcr})
        .frames;
  }

  GuestMemory memory_ = FakeKernelMemory(1 << 20);
  FakeSpace space_{{{kStack, 0x4000, 0}}};
};

TEST_F(Arm64UnwindTest, FollowsTheChainToItsEnd) {
  Record(0x100, kStack + 0x200, kText + 0x100);
  Record(0x200, kStack + 0x300, kText + 0x200);
  Record(0x300, 0, 0);
  EXPECT_THAT(
      Frames(kStack + 0x100, kText + 0x100),
      ElementsAre(At(kText + 0x10), Call(kText + 0x100), Call(kText + 0x200)));
}

TEST_F(Arm64UnwindTest, TheLinkRegisterMayBeTheCaller) {
  Record(0x100, 0, kText + 0x200);
  EXPECT_THAT(
      Frames(kStack + 0x100, kText + 0x100),
      ElementsAre(At(kText + 0x10), Guess(kText + 0x100), Call(kText + 0x200)));
}

TEST_F(Arm64UnwindTest, SignaturesOfPointersAreTakenOff) {
  // Bit 55 stays, 48 to 54 and 56 to 63 are the signature.
  const uint64_t signed_address = (kText + 0x100) ^ 0xa55a000000000000;
  Record(0x100, kStack + 0x200, signed_address);
  Record(0x200, 0, 0);
  EXPECT_THAT(Frames(kStack + 0x100, signed_address),
              ElementsAre(At(kText + 0x10), Call(kText + 0x100)));
  EXPECT_EQ(WithoutSignature(0x005a00007fff1234, kTcr), 0x00007fff1234u);
  EXPECT_EQ(SignatureMask(/*upper=*/true, 16 | 25 << 16), 0xff7fff8000000000);
  EXPECT_EQ(SignatureMask(/*upper=*/false, 16 | 25 << 16), 0xff7f000000000000);
  EXPECT_EQ(SignatureMask(/*upper=*/false, 0), 0u);
  // Nothing is known about the address's size.
  EXPECT_EQ(WithoutSignature(0x1234567812345678, 0), 0x1234567812345678u);
}

// Since 6.13: a record of zeroes that says what it is, inside struct pt_regs.
TEST_F(Arm64UnwindTest, CrossesAnException) {
  Record(0x100, kStack + 0x400, kText + 0x100);
  Record(0x400, 0, 0);
  Store(kStack + 0x410, 2);                    // registers of the kernel
  Store(kStack + 0x400 - 40, kText + 0x300);   // PC
  Store(kStack + 0x400 - 56, kText + 0x400);   // X30
  Store(kStack + 0x400 - 64, kStack + 0x600);  // X29
  Record(0x600, kStack + 0x700, kText + 0x500);
  Record(0x700, 0, 0);
  Store(kStack + 0x710, 1);  // the last
  EXPECT_THAT(
      Frames(kStack + 0x100, 0),
      ElementsAre(At(kText + 0x10), Call(kText + 0x100), At(kText + 0x300),
                  Guess(kText + 0x400), Call(kText + 0x500)));
}

TEST_F(Arm64UnwindTest, CirclesAndHolesEnd) {
  Record(0x100, kStack + 0x200, kText + 0x100);
  Record(0x200, kStack + 0x100, kText + 0x200);
  EXPECT_EQ(Frames(kStack + 0x100, 0).size(), 3u);
  for (const uint64_t fp : {uint64_t{0}, ~uint64_t{0}, kStack + 0x3ffc,
                            kStack + 0x3ff8, kStack - 8, kStack + 1}) {
    EXPECT_THAT(Frames(fp, 0), ElementsAre(At(kText + 0x10))) << fp;
  }
}

TEST_F(Arm64UnwindTest, ALongChainIsCutOff) {
  for (uint64_t at = 0; at < 0x3ff0; at += 16) {
    Record(at, kStack + at + 16, kText + 0x100);
  }
  EXPECT_EQ(Frames(kStack, 0).size(), kMostFrames);
}

// A call of a pointer that leads nowhere.
TEST_F(Arm64UnwindTest, ACrashOutsideTheTextIsTheFirstFrame) {
  Record(0x100, kStack + 0x200, kText + 0x200);
  Record(0x200, 0, 0);
  const Backtrace out =
      Unwind(GuestView(space_, memory_),
             {.pc = 0, .fp = kStack + 0x100, .lr = kText + 0x100, .tcr = kTcr});
  EXPECT_THAT(out.frames,
              ElementsAre(At(0), Guess(kText + 0x100), Call(kText + 0x200)));
}

}  // namespace
}  // namespace kvmlet::arch::arm64
