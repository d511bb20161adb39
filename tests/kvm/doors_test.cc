// SPDX-License-Identifier: Apache-2.0
// Every door through which a guest ends: exit status and verdict.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DoorsTest : public KvmletTest {
 protected:
  // The guest's own choice of a status.
  void ExpectExit(const Outcome& outcome, int status, uint64_t code) {
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_EQ(outcome.verdict["reason"], "exit");
    EXPECT_EQ(outcome.verdict["status"], status);
    EXPECT_EQ(outcome.verdict["code"], code);
    EXPECT_EQ(outcome.verdict["door"], "exit-device");
    EXPECT_EQ(outcome.err, "");
  }
};

TEST_F(DoorsTest, ExitDeviceWithEveryKindOfKernel) {
  for (const char* payload : {"exit", "exit_pvh", "exit_long"}) {
    for (const int code : {0, 7, 63}) {
      ExpectExit(Run({"--kernel", Payload(payload), "--append",
                      "exit=" + std::to_string(code)}),
                 code, static_cast<uint64_t>(code));
    }
  }
}

TEST_F(DoorsTest, APvhKernelPrintsAndEnds) {
  const Outcome outcome = Run({"--kernel", Payload("hello_pvh")});
  ExpectExit(outcome, 0, 0);
  EXPECT_EQ(outcome.out, "hello from the guest\n");
}

TEST_F(DoorsTest, ExitDeviceInQemusConvention) {
  EXPECT_EQ(Run({"--kernel", Payload("exit"), "--append", "exit=1",
                 "--exit-code", "qemu"})
                .status,
            3);
}

TEST_F(DoorsTest, LargerStatusesBecome63AndStayInTheVerdict) {
  ExpectExit(Run({"--kernel", Payload("exit"), "--append", "exit=64"}), 63, 64);
  ExpectExit(Run({"--kernel", Payload("exit"), "--append", "exit=4294967295"}),
             63, 4294967295);
}

TEST_F(DoorsTest, ExitDeviceTakesNarrowWrites) {
  ExpectExit(Run({"--kernel", Kernel(GuestCode().Out8(0xf4, 5).HaltForEver())}),
             5, 5);
  ExpectExit(
      Run({"--kernel", Kernel(GuestCode().Out16(0xf4, 0x101).HaltForEver())}),
      63, 0x101);
}

TEST_F(DoorsTest, TheFirstExitCounts) {
  const GuestCode code = GuestCode()
                             .Out32(GuestCode::kExitPort, 3)
                             .Out32(GuestCode::kExitPort, 4)
                             .HaltForEver();
  ExpectExit(Run({"--kernel", Kernel(code)}), 3, 3);
}

TEST_F(DoorsTest, AcpiSleepIsPowerOff) {
  const Outcome outcome =
      Run({"--kernel", Payload("s5"), "--events", Path("events")});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.verdict["reason"], "poweroff");
  EXPECT_EQ(outcome.verdict["door"], "acpi-sleep");
  const auto events = Events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back()["event"], "SHUTDOWN");
  EXPECT_EQ(events.back()["data"]["guest"], true);
  EXPECT_EQ(events.back()["data"]["reason"], "guest-shutdown");
}

TEST_F(DoorsTest, PvpanicIsAPanicWithRegisters) {
  const Outcome outcome =
      Run({"--kernel", Payload("panic"), "--events", Path("events")});
  EXPECT_EQ(outcome.status, 80);
  EXPECT_EQ(outcome.verdict["reason"], "panic");
  EXPECT_EQ(outcome.verdict["door"], "pvpanic");
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr("RIP=0000000000100"));
  EXPECT_THAT(outcome.err, HasSubstr("kvmlet: panic (status 80)"));
  EXPECT_EQ(CountEvents("GUEST_PANICKED"), 1);
}

TEST_F(DoorsTest, TripleFaultNamesTheVcpu) {
  const Outcome outcome = Run({"--kernel", Payload("triple_fault")});
  EXPECT_EQ(outcome.status, 81);
  EXPECT_EQ(outcome.verdict["reason"], "triple-fault");
  EXPECT_EQ(outcome.verdict["text"], "vcpu 0 shut down");
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr("RIP="));
}

TEST_F(DoorsTest, KvmThatCannotGoOnIsNamed) {
  // Code outside of memory: neither hardware nor KVM's emulator can fetch it.
  const Outcome outcome =
      Run({"--kernel", Kernel(GuestCode().Jump(GuestCode::kUnclaimed))});
  EXPECT_EQ(outcome.status, 83) << outcome.err;
  EXPECT_EQ(outcome.verdict["reason"], "kvm-error");
  EXPECT_THAT(outcome.verdict["text"], HasSubstr("vcpu 0: KVM"));
  EXPECT_THAT(outcome.verdict["registers"], HasSubstr("RIP=00000000f8000000"));
}

TEST_F(DoorsTest, ResetsEndTheGuestWhenToldSo) {
  const struct {
    const char* payload;
    const char* door;
  } kResets[] = {{"reset_i8042", "i8042"}, {"reset_acpi", "acpi-reset"}};
  for (const auto& reset : kResets) {
    const Outcome outcome =
        Run({"--kernel", Payload(reset.payload), "--on-reset", "exit"});
    EXPECT_EQ(outcome.status, 82) << outcome.err;
    EXPECT_EQ(outcome.verdict["reason"], "reset");
    EXPECT_EQ(outcome.verdict["door"], reset.door);
  }
}

TEST_F(DoorsTest, AResetThroughPciPort) {
  const Outcome outcome =
      Run({"--kernel", Kernel(GuestCode().Out8(0xcf9, 0x06).HaltForEver()),
           "--on-reset", "exit"});
  EXPECT_EQ(outcome.status, 82) << outcome.err;
  EXPECT_EQ(outcome.verdict["door"], "pci-reset");
}

TEST_F(DoorsTest, APanicOnTheConsoleMakesTheResetAPanic) {
  const GuestCode code = GuestCode()
                             .Print("Kernel panic - not syncing: test\n")
                             .Out8(0x64, 0xfe)
                             .HaltForEver();
  const Outcome outcome = Run({"--kernel", Kernel(code)});
  EXPECT_EQ(outcome.status, 80) << outcome.err;
  EXPECT_EQ(outcome.verdict["door"], "console");
  EXPECT_EQ(outcome.verdict["text"], "test");
}

TEST_F(DoorsTest, WildAccessesDoNoHarm) {
  const std::string disk = File("disk", std::string(1 << 20, 'x'));
  const Outcome outcome =
      Run({"--kernel", Payload("wild"), "--disk", disk}, seconds(110));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST_F(DoorsTest, NothingIsLeftBehind) {
  Run({"--kernel", Payload("exit"), "--qmp", "unix:" + Path("qmp"), "--events",
       Path("events")});
  EXPECT_THAT(Files(), ElementsAre("events", "verdict.json"));
}

}  // namespace
}  // namespace kvmlet
