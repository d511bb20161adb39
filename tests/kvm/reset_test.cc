// SPDX-License-Identifier: Apache-2.0
// A guest that resets starts again from clean memory and power-on state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

// Leaves when what was compared was not equal.
GuestCode& ExitUnlessEqual(GuestCode& code) {
  return code.IfNotEqual([](GuestCode& body) { body.Exit(9); });
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
  code.Load32(GuestCode::kScratch).Compare(0);
  ExitUnlessEqual(code);
  // Over itself too, but for what runs next.
  code.Store32(GuestCode::kScratch, 0x55aa55aa);
  code.Store32(GuestCode::kBase, 0xf4f4f4f4);
  code.Print("boot\n").Reset();
  const Outcome outcome = RunLines(code, 5);
  EXPECT_EQ(outcome.status, 143) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("boot\nboot\nboot\nboot\nboot\n"));
  EXPECT_GE(CountEvents("RESET"), 4);
}

TEST_F(ResetTest, DevicesGoBackToPowerOn) {
  GuestCode code;
  code.LoadDeviceState().Compare(0);
  ExitUnlessEqual(code).DisturbDevices();
  code.Print("boot\n").Reset();
  const Outcome outcome = RunLines(code, 3);
  EXPECT_EQ(outcome.status, 143) << outcome.out << outcome.err;
  EXPECT_GE(CountEvents("RESET"), 2);
}

TEST_F(ResetTest, TheEventSaysWhoAskedForIt) {
  GuestCode code;
  code.Print("boot\n").Reset();
  RunLines(code, 2);
  for (const Json& event : Events()) {
    if (event["event"] != "RESET") continue;
    EXPECT_EQ(event["data"]["guest"], true);
    EXPECT_EQ(event["data"]["reason"], "guest-reset");
  }
}

TEST_F(ResetTest, ManyResetsDoNotLeakDescriptors) {
  GuestCode code;
  code.Print("\n").Reset();
  const Outcome outcome = RunLines(code, 100);
  EXPECT_EQ(outcome.status, 143) << outcome.err;
  EXPECT_GE(CountEvents("RESET"), 99);
}

}  // namespace
}  // namespace kvmlet
