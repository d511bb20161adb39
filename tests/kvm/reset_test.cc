// SPDX-License-Identifier: Apache-2.0
// A guest that resets starts again from clean memory and power-on state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

constexpr uint32_t kMark = 0x200000;

// Leaves with `status` when what EAX was compared with is not there.
GuestCode& ExitUnlessEqual(GuestCode& code, uint32_t status) {
  GuestCode leave;
  leave.Exit(status);
  code.JumpIfEqual(code.here() + 6 +
                   static_cast<uint32_t>(leave.bytes().size()));
  return code.Exit(status);
}

class ResetTest : public KvmletTest {
 protected:
  // Runs until it has printed `count` lines, then ends it.
  Outcome RunLines(const GuestCode& code, int count) {
    const auto process =
        Start({"--kernel", Kernel(code), "--events", Path("events")});
    process->WaitUntil([&] {
      return !process->running() ||
             std::ranges::count(process->out(), '\n') >= count;
    });
    process->Signal(SIGTERM);
    const int status = process->Wait();
    return {.status = status,
            .out = process->out(),
            .err = process->err(),
            .verdict = Verdict()};
  }
};

TEST_F(ResetTest, MemoryIsClearedAndTheKernelLoadedAnew) {
  GuestCode code;
  code.Load32(kMark).CompareEax(0);
  ExitUnlessEqual(code, 9);
  // Over itself too, but for what runs next.
  code.Store32(kMark, 0x55aa55aa).Store32(GuestCode::kBase, 0xf4f4f4f4);
  code.Print("boot\n").Out8(0x64, 0xfe).HaltForEver();
  const Outcome outcome = RunLines(code, 5);
  EXPECT_EQ(outcome.status, 143) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("boot\nboot\nboot\nboot\nboot\n"));
  EXPECT_GE(CountEvents("RESET"), 4);
}

TEST_F(ResetTest, DevicesGoBackToPowerOn) {
  GuestCode code;
  code.In8(0x3ff).CompareAl(0);  // the serial port's scratch register
  ExitUnlessEqual(code, 9);
  code.Out8(0x3ff, 0x5a).Out32(0xcf8, 0x80000000);
  code.Print("boot\n").Store8(0xfeb00012, 1).HaltForEver();
  const Outcome outcome = RunLines(code, 3);
  EXPECT_EQ(outcome.status, 143) << outcome.out << outcome.err;
  EXPECT_GE(CountEvents("RESET"), 2);
}

TEST_F(ResetTest, TheEventSaysWhoAskedForIt) {
  GuestCode code;
  code.Print("boot\n").Out8(0x64, 0xfe).HaltForEver();
  RunLines(code, 2);
  for (const Json& event : Events()) {
    if (event["event"] != "RESET") continue;
    EXPECT_EQ(event["data"]["guest"], true);
    EXPECT_EQ(event["data"]["reason"], "guest-reset");
  }
}

TEST_F(ResetTest, ManyResetsDoNotLeakDescriptors) {
  GuestCode code;
  code.Print("\n").Out8(0x64, 0xfe).HaltForEver();
  const Outcome outcome = RunLines(code, 100);
  EXPECT_EQ(outcome.status, 143) << outcome.err;
  EXPECT_GE(CountEvents("RESET"), 99);
}

}  // namespace
}  // namespace kvmlet
