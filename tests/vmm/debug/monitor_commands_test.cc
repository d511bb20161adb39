// SPDX-License-Identifier: Apache-2.0
// What gdb's `monitor` hands through from the machine.
#include "vmm/debug/monitor_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vmm/debug/debugger_fixture.h"

namespace kvmlet {
namespace {

using MonitorCommandsTest = DebuggerTest;
using testing::HasSubstr;

TEST_F(MonitorCommandsTest, ExitsAreThoseThatTheMachineCounted) {
  const MonitorResult result = RunMonitorCommand("exits", *debugger_, 1);
  EXPECT_TRUE(result.ok);
  EXPECT_EQ(result.text,
            "CPU  REASON  EXITS\n"
            "0    mmio    5\n");
  EXPECT_THAT(RunMonitorCommand("help", *debugger_, 0).text,
              HasSubstr("monitor exits "));
}

TEST_F(MonitorCommandsTest, PaIsThePhysicalAddress) {
  EXPECT_EQ(RunMonitorCommand("pa 0x11234", *debugger_, 0).text, "0x1234\n");
  const MonitorResult unmapped = RunMonitorCommand("pa 0x80", *debugger_, 0);
  EXPECT_FALSE(unmapped.ok);
  EXPECT_THAT(unmapped.text, HasSubstr("0x80 is not mapped"));
  EXPECT_FALSE(RunMonitorCommand("pa", *debugger_, 0).ok);
  EXPECT_FALSE(RunMonitorCommand("pa x", *debugger_, 0).ok);
}

TEST_F(MonitorCommandsTest, KaslrPrintsWhatTheMachineKnows) {
  target_.kernel_offset_ = "symbol-file -o 0x1c000000 vmlinux\n";
  const MonitorResult result = RunMonitorCommand("kaslr", *debugger_, 0);
  EXPECT_TRUE(result.ok);
  EXPECT_EQ(result.text, "symbol-file -o 0x1c000000 vmlinux\n");
}

TEST_F(MonitorCommandsTest, KaslrSaysWhatIsMissing) {
  target_.kernel_offset_ = absl::NotFoundError("start it with --symbols");
  const MonitorResult result = RunMonitorCommand("kaslr", *debugger_, 0);
  EXPECT_FALSE(result.ok);
  EXPECT_EQ(result.text, "kaslr: start it with --symbols\n");
  EXPECT_THAT(RunMonitorCommand("help", *debugger_, 0).text,
              HasSubstr("monitor kaslr"));
}

}  // namespace
}  // namespace kvmlet
