// SPDX-License-Identifier: Apache-2.0
// Every door through which an arm64 guest ends: exit status and verdict.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

class Arm64DoorsTest : public KvmletTest {
 protected:
  void ExpectExit(const Outcome& outcome, int status, uint64_t code) {
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_EQ(outcome.verdict["reason"], "exit");
    EXPECT_EQ(outcome.verdict["code"], code);
    EXPECT_EQ(outcome.verdict["door"], "exit-device");
    EXPECT_EQ(outcome.err, "");
  }
};

TEST_F(Arm64DoorsTest, ExitDeviceTakesTheStatusFromTheCommandLine) {
  for (const int code : {0, 7, 63}) {
    ExpectExit(Run({"--kernel", Payload("exit"), "--append",
                    "exit=" + std::to_string(code)}),
               code, static_cast<uint64_t>(code));
  }
  ExpectExit(Run({"--kernel", Payload("exit"), "--append", "exit=4000000000"}),
             63, 4000000000);
}

TEST_F(Arm64DoorsTest, EarlySerialOutputNeedsNoSetUp) {
  const Outcome outcome = Run({"--kernel", Payload("hello")});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "hello from the guest\n");
}

TEST_F(Arm64DoorsTest, PsciPowersOff) {
  const Outcome outcome =
      Run({"--kernel", Payload("psci_off"), "--events", Path("events")});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.verdict["reason"], "poweroff");
  EXPECT_EQ(outcome.verdict["door"], "psci");
  EXPECT_EQ(CountEvents("SHUTDOWN"), 1);
}

TEST_F(Arm64DoorsTest, PsciResetsInPlace) {
  const Outcome outcome = Run({"--kernel", Payload("psci_reset"), "--append",
                               "boots=3", "--events", Path("events")});
  ExpectExit(outcome, 3, 3);
  EXPECT_EQ(outcome.out, "b\nb\nb\n");
  EXPECT_EQ(CountEvents("RESET"), 2);
}

TEST_F(Arm64DoorsTest, PsciResetEndsTheGuestWhenToldSo) {
  const Outcome outcome = Run({"--kernel", Payload("psci_reset"), "--append",
                               "boots=3", "--on-reset", "exit"});
  EXPECT_EQ(outcome.status, 82) << outcome.err;
  EXPECT_EQ(outcome.verdict["reason"], "reset");
  EXPECT_EQ(outcome.verdict["door"], "psci");
}

TEST_F(Arm64DoorsTest, PvpanicIsAPanicWithRegisters) {
  const Outcome outcome =
      Run({"--kernel", Payload("panic"), "--events", Path("events")});
  EXPECT_EQ(outcome.status, 80);
  EXPECT_EQ(outcome.verdict["reason"], "panic");
  EXPECT_EQ(outcome.verdict["door"], "pvpanic");
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr("PC =00000000400800"));
  EXPECT_EQ(CountEvents("GUEST_PANICKED"), 1);
}

TEST_F(Arm64DoorsTest, APanicOnTheConsoleMakesTheResetAPanic) {
  const GuestCode code =
      GuestCode().Print("Kernel panic - not syncing: test\n").Reset();
  const Outcome outcome = Run({"--kernel", Kernel(code)});
  EXPECT_EQ(outcome.status, 80) << outcome.err;
  EXPECT_EQ(outcome.verdict["door"], "console");
  EXPECT_EQ(outcome.verdict["text"], "test");
}

TEST_F(Arm64DoorsTest, ATestKernelsPrintedStatusCountsInQemusConvention) {
  // What a kvm-unit-test without a test device does.
  const struct {
    const char* printed;
    int status;
    uint64_t code;
  } kResults[] = {{"1", 1, 0}, {"3", 3, 1}, {"77", 77, 38}};
  for (const auto& result : kResults) {
    const Outcome outcome =
        Run({"--kernel", Payload("test_status"), "--append",
             std::string("status=") + result.printed, "--exit-code", "qemu"});
    EXPECT_EQ(outcome.status, result.status) << outcome.err;
    EXPECT_EQ(outcome.verdict["reason"], "exit");
    EXPECT_EQ(outcome.verdict["door"], "console");
    EXPECT_EQ(outcome.verdict["code"], result.code);
  }
  const Outcome plain =
      Run({"--kernel", Payload("test_status"), "--append", "status=3"});
  EXPECT_EQ(plain.status, 0) << plain.err;
  EXPECT_EQ(plain.verdict["door"], "psci");
}

TEST_F(Arm64DoorsTest, ExitDeviceInQemusConvention) {
  EXPECT_EQ(Run({"--kernel", Payload("exit"), "--append", "exit=1",
                 "--exit-code", "qemu"})
                .status,
            3);
}

TEST_F(Arm64DoorsTest, ATestKernelFindsItsEnvironment) {
  const std::string environ = File("environ", "NR_CPUS=2\nexit=12\n");
  // The initrd lies in RAM as it is, where the device tree says.
  const Outcome outcome =
      Run({"--kernel", Payload("environ"), "--initrd", environ});
  EXPECT_EQ(outcome.status, 12) << outcome.err;
}

TEST_F(Arm64DoorsTest, WildAccessesDoNoHarm) {
  const std::string disk = File("disk", std::string(1 << 20, 'x'));
  const Outcome outcome =
      Run({"--kernel", Payload("wild"), "--disk", disk}, seconds(110));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

}  // namespace
}  // namespace kvmlet
