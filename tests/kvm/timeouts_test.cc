// SPDX-License-Identifier: Apache-2.0
// Guests that do not end by themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <string>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;
using testing::Not;

using TimeoutsTest = KvmletTest;

// How the report on a vCPU begins.
std::string At(int vcpu) {
  return "vcpu " + std::to_string(vcpu) + ":\n" + GuestCode::kProgramCounter;
}

TEST_F(TimeoutsTest, TimeoutEndsAGuestThatHangs) {
  for (const char* payload : {"hang", "spin"}) {
    const Outcome outcome =
        Run({"--kernel", Payload(payload), "--timeout", "200ms"});
    EXPECT_EQ(outcome.status, 124) << outcome.err;
    EXPECT_EQ(outcome.verdict["reason"], "timeout");
    EXPECT_THAT(outcome.verdict["text"], HasSubstr("0.2 s"));
    EXPECT_GE(outcome.verdict["wall_seconds"], 0.2);
    EXPECT_FALSE(outcome.verdict.contains("registers"));
    ExpectOneLine(outcome.err, "(status 124)");
  }
}

TEST_F(TimeoutsTest, TimeoutEndsAGuestThatKeepsLeaving) {
  const Outcome outcome = Run({"--kernel", Payload("mmio_bench"), "--append",
                               "count=4000000000", "--timeout", "200ms"});
  EXPECT_EQ(outcome.status, 124) << outcome.err;
}

TEST_F(TimeoutsTest, AGuestThatEndsInTimeIsNotTouched) {
  EXPECT_EQ(Run({"--kernel", Payload("exit"), "--append", "exit=3", "--timeout",
                 "60s", "--idle-timeout", "60s"})
                .status,
            3);
}

TEST_F(TimeoutsTest, IdleTimeoutEndsAGuestThatSaysNothing) {
  const Outcome outcome =
      Run({"--kernel", Payload("hang"), "--idle-timeout", "200ms"});
  EXPECT_EQ(outcome.status, 124) << outcome.err;
  EXPECT_EQ(outcome.verdict["reason"], "idle-timeout");
}

TEST_F(TimeoutsTest, IdleTimeoutSparesAGuestThatSpeaks) {
  GuestCode code;
  const uint32_t again = code.here();
  code.Print("tick\n");
  // Far shorter than the idle limit, however slow the machine.
  code.Store32(GuestCode::kScratch, 0);
  const uint32_t wait = code.here();
  code.LeaveToMonitor().Increment(GuestCode::kScratch);
  code.Load32(GuestCode::kScratch).Compare(100);
  code.JumpIfNotEqual(wait).Jump(again);
  const Outcome outcome = Run(
      {"--kernel", Kernel(code), "--idle-timeout", "1s", "--timeout", "3s"});
  EXPECT_EQ(outcome.verdict["reason"], "timeout") << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("tick\ntick\n"));
}

TEST_F(TimeoutsTest, OnHangSaysWhereEveryVcpuStands) {
  const Outcome outcome = Run({"--kernel", Payload("spin"), "--cpus", "2",
                               "--timeout", "200ms", "--on-hang", "report"});
  EXPECT_EQ(outcome.status, 124);
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr(At(0)));
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr(At(1)));
  EXPECT_THAT(outcome.err, HasSubstr(At(1)));
}

// A kernel that does not run: the report says so, and has the registers.
TEST_F(TimeoutsTest, SymbolsOfAnotherKernelAreALineOfTheReport) {
  const std::string list = Path("list");
  std::ofstream(list) << "ffffffff81000000 T entry_SYSCALL_64\n"
                         "ffffffff81000000 T vectors\n"
                         "ffffffff81000100 D linux_banner\n";
  const Outcome outcome =
      Run({"--kernel", Payload("spin"), "--timeout", "200ms", "--on-hang",
           "report", "--symbols", list});
  EXPECT_EQ(outcome.status, 124);
  EXPECT_THAT(outcome.verdict["registers"],
              testing::StartsWith("--symbols " + list + ": does not fit"));
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr(At(0)));
}

// Found when it is read, and not before.
TEST_F(TimeoutsTest, DamagedSymbolsAreALineOfTheReport) {
  const std::string list = Path("list");
  std::ofstream(list) << "ffffffff81000000 T _text\nffffffff\n";
  const Outcome outcome =
      Run({"--kernel", Payload("spin"), "--timeout", "200ms", "--on-hang",
           "report", "--symbols", list});
  EXPECT_EQ(outcome.status, 124);
  EXPECT_THAT(
      outcome.verdict["registers"],
      testing::StartsWith("--symbols " + list + ": damaged list of symbols"));
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr(At(0)));
}

TEST_F(TimeoutsTest, OnHangWritesACoreFile) {
  const std::string core = Path("core");
  const Outcome outcome = Run({"--kernel", Payload("spin"), "--timeout",
                               "200ms", "--on-hang", "dump=" + core});
  EXPECT_EQ(outcome.status, 124);
  EXPECT_EQ(outcome.verdict["core"], core);
  EXPECT_FALSE(outcome.verdict.contains("registers"));
  EXPECT_THAT(Files(), testing::UnorderedElementsAre("core", "verdict.json"));
}

TEST_F(TimeoutsTest, AGuestThatEndsLeavesNoCoreFile) {
  GuestCode code;
  code.Exit(3);
  const Outcome outcome = Run({"--kernel", Kernel(code), "--timeout", "60s",
                               "--on-hang", "dump=" + Path("core")});
  EXPECT_EQ(outcome.status, 3) << outcome.err;
  EXPECT_FALSE(outcome.verdict.contains("core"));
  EXPECT_THAT(Files(), testing::Not(testing::Contains("core")));
}

TEST_F(TimeoutsTest, ACoreFileThatCannotBeWrittenIsKnownAtTheStart) {
  const Outcome outcome = Run(
      {"--kernel", Payload("spin"), "--on-hang", "dump=" + Path("no/core")});
  EXPECT_EQ(outcome.status, 66);
  ExpectOneLine(outcome.err, "--on-hang: dump ");
}

TEST_F(TimeoutsTest, APanicWritesACoreFile) {
  const Outcome outcome =
      Run({"--kernel", Payload("panic"), "--on-hang", "dump=" + Path("core")});
  EXPECT_EQ(outcome.status, 80) << outcome.err;
  EXPECT_EQ(outcome.verdict["core"], Path("core"));
  EXPECT_THAT(Files(), testing::Contains("core"));
}

TEST_F(TimeoutsTest, OnHangHoldsTheGuestForGdb) {
  const auto process =
      Start({"--kernel", Payload("spin"), "--timeout", "200ms", "--gdb",
             "unix:" + Path("gdb"), "--on-hang", "gdb"});
  ASSERT_TRUE(process->WaitForError("held for gdb")) << process->err();
  EXPECT_TRUE(process->running());
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(), 128 + SIGTERM);
}

TEST_F(TimeoutsTest, WithoutOnHangThereIsNoReport) {
  const Outcome outcome =
      Run({"--kernel", Payload("spin"), "--timeout", "100ms"});
  EXPECT_THAT(outcome.err, Not(HasSubstr(GuestCode::kProgramCounter)));
}

}  // namespace
}  // namespace kvmlet
