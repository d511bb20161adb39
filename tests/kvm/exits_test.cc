// SPDX-License-Identifier: Apache-2.0
// Exits of a guest that makes a known number of them: in the trace, in the
// counters, and however the monitor ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

class ExitsTest : public KvmletTest {
 protected:
  std::string Trace() const { return Path("trace"); }
  // kvmlet ARGS; its standard output.
  static std::string Tool(const KvmletProcess::Args& args) {
    KvmletProcess process(args);
    EXPECT_EQ(process.Wait(), 0) << process.err();
    return process.out();
  }
  Json Summary() const {
    return ParseJson(Tool({"exits", Trace(), "--json"})).value_or(Json());
  }
  std::vector<std::string> List() const {
    std::istringstream text(Tool({"exits", Trace(), "--list"}));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
  static uint64_t Of(const Json& summary, std::string_view reason) {
    for (const Json& entry : summary["reasons"]) {
      if (entry["reason"] == reason) return entry["exits"];
    }
    return 0;
  }
  static size_t Count(const std::vector<std::string>& lines,
                      std::string_view part) {
    return static_cast<size_t>(
        std::ranges::count_if(lines, [part](const std::string& line) {
          return line.find(part) != line.npos;
        }));
  }
  // Leaves to the monitor this often, and once more to end with 0.
  std::string Leaver(int times) const {
    GuestCode code;
    for (int i = 0; i < times; ++i) code.LeaveToMonitor();
    return Kernel(code.Exit(0));
  }
  // Leaves to the monitor without end.
  std::string Busy() const {
    GuestCode code;
    const uint32_t again = code.here();
    return Kernel(code.LeaveToMonitor().Jump(again));
  }
  // Until the trace has more exits than that.
  bool WaitForExits(KvmletProcess& process, uint64_t more_than) const {
    return process.WaitUntil([&] {
      KvmletProcess tool({"exits", Trace(), "--json"});
      if (tool.Wait() != 0) return false;
      const auto summary = ParseJson(tool.out());
      return summary && (*summary)["exits"] > more_than;
    });
  }
  const std::string reason_ = GuestCode::kLeaveReason;
};

TEST_F(ExitsTest, AKnownNumberOfThemIsInTheTrace) {
  const Outcome outcome =
      Run({"--kernel", Leaver(7), "--trace-exits", Trace()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Json summary = Summary();
  EXPECT_EQ(summary["complete"], true);
  EXPECT_EQ(summary["lost"], 0u);
  EXPECT_EQ(Of(summary, reason_), 8u);
  const std::vector<std::string> lines = List();
  EXPECT_EQ(lines.size(), summary["exits"]);
  EXPECT_EQ(Count(lines, " " + reason_ + " write "), 8u);
  EXPECT_THAT(Tool({"exits", Trace()}), HasSubstr("\n" + reason_));
}

TEST_F(ExitsTest, ASmallTraceKeepsTheNewest) {
  const Outcome outcome =
      Run({"--kernel", Leaver(400), "--trace-exits", Trace() + ",size=12K"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Json summary = Summary();
  EXPECT_EQ(Of(summary, reason_), 401u);
  const uint64_t kept = 4096 / 24;
  EXPECT_EQ(summary["lost"], summary["exits"].get<uint64_t>() - kept);
  const std::vector<std::string> lines = List();
  EXPECT_EQ(lines.size(), kept);
  EXPECT_EQ(std::filesystem::file_size(Trace()), 12u << 10);
}

TEST_F(ExitsTest, EveryOrderlyEndLeavesAWholeTrace) {
  const struct {
    KvmletProcess::Args args;
    int status;
  } kEnds[] = {
      {{"--kernel", Payload("panic")}, 80},
      {{"--kernel", Busy(), "--timeout", "300ms"}, 124},
      {{"--kernel", Payload("spin"), "--cpus", "2", "--timeout", "300ms"},
       124}};
  for (const auto& end : kEnds) {
    KvmletProcess::Args args = end.args;
    args.insert(args.end(), {"--trace-exits", Trace() + ",size=1M"});
    EXPECT_EQ(Run(args).status, end.status);
    const Json summary = Summary();
    EXPECT_EQ(summary["complete"], true);
    EXPECT_EQ(List().size(), summary["exits"].get<uint64_t>() -
                                 summary["lost"].get<uint64_t>());
  }
  const auto process =
      Start({"--kernel", Busy(), "--trace-exits", Trace() + ",size=1M"});
  ASSERT_TRUE(WaitForExits(*process, 10));
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(), 128 + SIGTERM);
  EXPECT_EQ(Summary()["complete"], true);
  EXPECT_GT(Of(Summary(), reason_), 10u);
}

TEST_F(ExitsTest, AKilledMonitorsTraceIsRead) {
  const auto process =
      Start({"--kernel", Busy(), "--trace-exits", Trace() + ",size=12K"});
  // Full, and read while it is written.
  ASSERT_TRUE(WaitForExits(*process, 1000));
  const uint64_t running = Of(Summary(), reason_);
  ASSERT_TRUE(WaitForExits(*process, running));
  process->Signal(SIGKILL);
  EXPECT_EQ(process->Wait(), 128 + SIGKILL);
  const Json summary = Summary();
  EXPECT_EQ(summary["complete"], false);
  EXPECT_GT(Of(summary, reason_), running);
  EXPECT_EQ(List().size(), 4096 / 24 - 1);
  EXPECT_THAT(Tool({"exits", Trace()}), HasSubstr("or was killed"));
}

TEST_F(ExitsTest, CountersAndTraceAgree) {
  const auto process =
      Start({"--kernel", Busy(), "--trace-exits", Trace() + ",size=1M", "--qmp",
             "unix:" + Path("qmp"), "--name", "n"});
  ASSERT_TRUE(WaitForExits(*process, 100));
  const auto ctl = [this](const KvmletProcess::Args& words) {
    KvmletProcess::Args args = {"ctl", Path("qmp")};
    args.insert(args.end(), words.begin(), words.end());
    return Tool(args);
  };
  ctl({"stop"});
  const Json summary = Summary();
  const Json groups = *ParseJson(ctl({"info", "exits", "--json"}));
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0]["provider"], "__org.kvmlet_exits");
  uint64_t counted = 0;
  for (const Json& stat : groups[0]["stats"]) {
    counted += stat["value"].get<uint64_t>();
    EXPECT_EQ(stat["value"], Of(summary, std::string(stat["name"])));
  }
  EXPECT_EQ(counted, summary["exits"]);
  EXPECT_EQ(groups[1]["provider"], "__org.kvmlet_exit-monitor-time");
  EXPECT_GT(groups[1]["stats"][0]["value"], 0u);
  const std::string table = ctl({"info", "exits"});
  EXPECT_THAT(table, HasSubstr("CPU  REASON  EXITS"));
  EXPECT_THAT(table, HasSubstr("MONITOR"));
  EXPECT_THAT(table, HasSubstr("\n0    " + reason_));
  EXPECT_THAT(ctl({"metrics"}),
              HasSubstr("kvmlet_vcpu_userspace_exit_seconds_total{vm=\"n\","
                        "vcpu=\"0\",reason=\"" +
                        reason_ + "\"} "));
  process->Signal(SIGTERM);
  process->Wait();
}

TEST_F(ExitsTest, WithoutTheFlagThereAreCountsAlone) {
  const auto process =
      Start({"--kernel", Busy(), "--qmp", "unix:" + Path("qmp")});
  ASSERT_TRUE(process->WaitUntil([this] {
    KvmletProcess tool({"ctl", Path("qmp"), "info", "exits"});
    return tool.Wait() == 0 && tool.out().find(reason_) != std::string::npos;
  }));
  EXPECT_THAT(Tool({"ctl", Path("qmp"), "info", "exits"}),
              testing::StartsWith("CPU  REASON  EXITS\n"));
  process->Signal(SIGTERM);
  process->Wait();
  EXPECT_THAT(Files(), testing::UnorderedElementsAre("kernel", "verdict.json"));
}

TEST_F(ExitsTest, AFileThatCannotBeIsKnownAtTheStart) {
  Outcome outcome =
      Run({"--kernel", Payload("spin"), "--trace-exits", Path("no/trace")});
  EXPECT_EQ(outcome.status, 66);
  ExpectOneLine(outcome.err, "--trace-exits " + Path("no/trace") + ": ");
  outcome = Run({"--kernel", Payload("spin"), "--trace-exits", "/dev/null"});
  EXPECT_EQ(outcome.status, 65);
  ExpectOneLine(outcome.err, "not a regular file");
  // More than the user may write.
  KvmletProcess limited(
      RunArgs({"--kernel", Payload("spin"), "--trace-exits", Trace()}), [] {
        const rlimit limit{.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
        return ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
      });
  EXPECT_NE(limited.Wait(), 0);
  EXPECT_THAT(limited.err(), HasSubstr("65536 KiB, as size= sets it"));
  EXPECT_THAT(Files(), testing::Not(testing::Contains("trace")));
}

}  // namespace
}  // namespace kvmlet
