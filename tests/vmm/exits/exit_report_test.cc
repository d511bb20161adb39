// SPDX-License-Identifier: Apache-2.0
#include "vmm/exits/exit_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <sstream>

#include "vmm/control/json.h"

namespace kvmlet {
namespace {

// A hundred port exits of 1 to 100 us on vCPU 0, two MMIO exits on vCPU 1.
ExitTraceData SomeTrace() {
  ExitTraceData trace{.realtime = 5, .end = 2'000'000'000};
  trace.vcpus.resize(2);
  ExitTotals& io = trace.vcpus[0].totals[KVM_EXIT_IO];
  for (uint32_t i = 1; i <= 100; ++i) {
    trace.exits.push_back({.time = i * 1'000'000,
                           .monitor = i * 1000,
                           .guest = 2000,
                           .vcpu = 0,
                           .reason = KVM_EXIT_IO,
                           .size = 1,
                           .write = i % 2 == 0,
                           .detail = 0x3f8 | 1 << 16});
    io.monitor += i * 1000;
  }
  io.count = 100;
  io.monitor_max = 100'000;
  io.guest = 200'000;
  io.guest_max = 2000;
  trace.vcpus[0].exits = 100;
  for (uint32_t i = 1; i <= 2; ++i) {
    trace.exits.push_back({.time = i * 1'500'000,
                           .monitor = 10'000,
                           .guest = i * 5'000'000,
                           .vcpu = 1,
                           .reason = KVM_EXIT_MMIO,
                           .size = 4,
                           .write = false,
                           .detail = 0xfe001000});
  }
  trace.vcpus[1].totals[KVM_EXIT_MMIO] = {.count = 2,
                                          .monitor = 20'000,
                                          .monitor_max = 10'000,
                                          .guest = 15'000'000,
                                          .guest_max = 10'000'000};
  trace.vcpus[1].exits = 2;
  return trace;
}

TEST(ExitReportTest, SummaryByReason) {
  const std::vector<ReasonSummary> summaries = SummarizeExits(SomeTrace());
  ASSERT_EQ(summaries.size(), 2u);
  const ReasonSummary& io = summaries[0];
  EXPECT_EQ(io.reason, "io");
  EXPECT_EQ(io.exits, 100u);
  EXPECT_EQ(io.monitor.total, 5'050'000u);
  EXPECT_EQ(io.monitor.mean, 50'500u);
  EXPECT_EQ(io.monitor.p50, 50'000u);
  EXPECT_EQ(io.monitor.p99, 99'000u);
  EXPECT_EQ(io.monitor.max, 100'000u);
  EXPECT_EQ(io.guest.p99, 2000u);
  EXPECT_NEAR(io.share, 5050.0 / 5070, 1e-9);
  EXPECT_EQ(summaries[1].reason, "mmio");
  EXPECT_EQ(summaries[1].guest.p50, 5'000'000u);
  EXPECT_EQ(summaries[1].guest.p99, 10'000'000u);
}

TEST(ExitReportTest, Table) {
  ExitTraceData trace = SomeTrace();
  EXPECT_EQ(
      ExitTable(trace),
      "102 exits of 2 vCPUs in 2.00s\n"
      "REASON  EXITS  |  MONITOR  SHARE  MEAN    P50     P99     MAX     |  "
      "GUEST   MEAN    P50     P99     MAX\n"
      "io      100    |  5.05ms   99.6%  50.5us  50.0us  99.0us  100us   |  "
      "200us   2.00us  2.00us  2.00us  2.00us\n"
      "mmio    2      |  20.0us   0.4%   10.0us  10.0us  10.0us  10.0us  |  "
      "15.0ms  7.50ms  5.00ms  10.0ms  10.0ms\n");
  trace.end = 0;
  trace.vcpus[0].lost = 7;
  EXPECT_THAT(ExitTable(trace),
              testing::StartsWith(
                  "102 exits of 2 vCPUs in 100ms so far: the machine runs, or "
                  "was killed\nthe records of the first 7 were overwritten: "
                  "P50 and P99 are without them\nREASON"));
}

TEST(ExitReportTest, Json) {
  ExitTraceData trace = SomeTrace();
  trace.vcpus[0].lost = 7;
  const auto json = ParseJson(ExitJson(trace));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["exits"], 102u);
  EXPECT_EQ((*json)["lost"], 7u);
  EXPECT_EQ((*json)["complete"], true);
  EXPECT_EQ((*json)["duration-ns"], 2'000'000'000u);
  EXPECT_EQ((*json)["vcpus"][1]["exits"], 2u);
  EXPECT_EQ((*json)["reasons"][0]["reason"], "io");
  EXPECT_EQ((*json)["reasons"][0]["monitor"]["p99-ns"], 99'000u);
  EXPECT_EQ((*json)["reasons"][1]["guest"]["total-ns"], 15'000'000u);
}

TEST(ExitReportTest, ListIsInTheOrderOfTime) {
  ExitTraceData trace = SomeTrace();
  trace.exits.erase(trace.exits.begin() + 2, trace.exits.begin() + 100);
  trace.exits.push_back({.time = 3'000'000'001,
                         .monitor = 1,
                         .guest = 2,
                         .vcpu = 1,
                         .reason = KVM_EXIT_SYSTEM_EVENT,
                         .detail = 2});
  trace.exits.push_back({.time = 3'000'000'002, .reason = KVM_EXIT_HLT});
  std::ostringstream out;
  ListExits(trace, out);
  EXPECT_EQ(out.str(),
            "0.001000000 vcpu=0 io read port=0x3f8 size=1 times=1 "
            "monitor-ns=1000 guest-ns=2000\n"
            "0.001500000 vcpu=1 mmio read at=0xfe001000 size=4 "
            "monitor-ns=10000 guest-ns=5000000\n"
            "0.002000000 vcpu=0 io write port=0x3f8 size=1 times=1 "
            "monitor-ns=2000 guest-ns=2000\n"
            "0.003000000 vcpu=1 mmio read at=0xfe001000 size=4 "
            "monitor-ns=10000 guest-ns=10000000\n"
            "3.000000001 vcpu=1 system_event type=2 monitor-ns=1 guest-ns=2\n"
            "3.000000002 vcpu=0 hlt monitor-ns=0 guest-ns=0\n");
}

TEST(ExitReportTest, NothingIsATableToo) {
  ExitTraceData trace;
  trace.vcpus.resize(1);
  EXPECT_EQ(ExitTable(trace),
            "0 exits of 1 vCPU in 0ns so far: the machine runs, or was killed\n"
            "REASON  EXITS  |  MONITOR  SHARE  MEAN  P50  P99  MAX  |  GUEST  "
            "MEAN  P50  P99  MAX\n");
  EXPECT_EQ((*ParseJson(ExitJson(trace)))["reasons"].size(), 0u);
}

}  // namespace
}  // namespace kvmlet
