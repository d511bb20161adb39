// SPDX-License-Identifier: Apache-2.0
// Guests that do not end by themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;
using testing::Not;

using TimeoutsTest = KvmletTest;

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
  const Outcome outcome = Run({"--kernel", Payload("pio_bench"), "--append",
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
  // Long enough to be seen, far shorter than the limit.
  code.Store32(0x200000, 0);
  const uint32_t wait = code.here();
  code.Out8(0x80, 0).Increment(0x200000).Load32(0x200000).CompareEax(2000);
  code.JumpIfNotEqual(wait).Jump(again);
  const Outcome outcome = Run(
      {"--kernel", Kernel(code), "--idle-timeout", "5s", "--timeout", "1s"});
  EXPECT_EQ(outcome.verdict["reason"], "timeout") << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("tick\ntick\n"));
}

TEST_F(TimeoutsTest, OnHangSaysWhereEveryVcpuStands) {
  const Outcome outcome = Run({"--kernel", Payload("spin"), "--cpus", "2",
                               "--timeout", "200ms", "--on-hang", "report"});
  EXPECT_EQ(outcome.status, 124);
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr("vcpu 0:\nRIP="));
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr("vcpu 1:\nRIP="));
  EXPECT_THAT(outcome.err, HasSubstr("RIP=00000000001000"));
}

TEST_F(TimeoutsTest, WithoutOnHangThereIsNoReport) {
  const Outcome outcome =
      Run({"--kernel", Payload("spin"), "--timeout", "100ms"});
  EXPECT_THAT(outcome.err, Not(HasSubstr("RIP=")));
}

}  // namespace
}  // namespace kvmlet
