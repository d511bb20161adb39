// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/monitor_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vmm/debug/debugger_fixture.h"

namespace kvmlet {
namespace {

using MonitorCommandsTest = DebuggerTest;

TEST_F(MonitorCommandsTest, ExitsAreThoseThatTheMachineCounted) {
  const MonitorResult result = RunMonitorCommand("exits", *debugger_, 1);
  EXPECT_TRUE(result.ok);
  EXPECT_EQ(result.text,
            "CPU  REASON  EXITS\n"
            "0    mmio    5\n");
  EXPECT_THAT(RunMonitorCommand("help", *debugger_, 0).text,
              testing::HasSubstr("monitor exits "));
}

}  // namespace
}  // namespace kvmlet
