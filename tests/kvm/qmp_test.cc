// SPDX-License-Identifier: Apache-2.0
// The control socket of a running machine, with its own client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"
#include "vmm/control/qmp_client.h"

namespace kvmlet {
namespace {

using Clock = std::chrono::steady_clock;
using testing::HasSubstr;

class QmpTest : public KvmletTest {
 protected:
  void StartAndConnect(const std::string& kernel,
                       const KvmletProcess::Args& more = {}) {
    KvmletProcess::Args args = {"--kernel", kernel, "--qmp",
                                "unix:" + Path("qmp")};
    args.insert(args.end(), more.begin(), more.end());
    process_ = Start(args);
    ASSERT_TRUE(process_->WaitUntil([this] {
      auto client = QmpClient::Connect(Path("qmp"), Clock::now() + seconds(10));
      if (client.ok()) client_ = *std::move(client);
      return client_ != nullptr;
    })) << process_->err();
  }
  Json Execute(const std::string& command,
               const Json& arguments = Json::object()) {
    if (client_ == nullptr) return Json();  // The failure was told.
    const auto reply =
        client_->Execute(command, arguments, Clock::now() + seconds(20));
    EXPECT_TRUE(reply.ok()) << command << ": " << reply.status();
    if (!reply.ok()) return Json();
    EXPECT_TRUE(reply->ok()) << command << ": " << reply->error_text;
    return reply->result;
  }
  std::string NextEvent() {
    const auto event = client_->NextEvent(Clock::now() + seconds(20));
    return event.ok() ? StringMember(*event, "event") : "none";
  }
  std::string Status() { return Execute("query-status")["status"]; }
  uint64_t Exits() {
    return Execute("query-cpus-fast")[0]["__org.kvmlet_exits"];
  }
  // Leaves to the monitor without end.
  std::string Busy() {
    GuestCode code;
    const uint32_t again = code.here();
    return Kernel(code.LeaveToMonitor().Jump(again));
  }

  std::unique_ptr<KvmletProcess> process_;
  std::unique_ptr<QmpClient> client_;
};

TEST_F(QmpTest, QuitEndsWithStatusZero) {
  StartAndConnect(Payload("hang"));
  Execute("quit");
  EXPECT_EQ(process_->Wait(), 0) << process_->err();
  EXPECT_EQ(Verdict()["reason"], "quit");
  EXPECT_EQ(process_->err(), "");
}

TEST_F(QmpTest, StopStopsTheGuestAndContGoesOn) {
  StartAndConnect(Busy());
  EXPECT_EQ(Status(), "running");
  Execute("stop");
  EXPECT_EQ(NextEvent(), "STOP");
  EXPECT_EQ(Status(), "paused");
  const uint64_t exits = Exits();
  process_->WaitUntil([] { return false; }, milliseconds(100));
  EXPECT_EQ(Exits(), exits);
  Execute("cont");
  EXPECT_EQ(NextEvent(), "RESUME");
  EXPECT_TRUE(process_->WaitUntil([&] { return Exits() > exits; }));
}

TEST_F(QmpTest, StopAndContManyTimes) {
  StartAndConnect(Payload("spin"), {"--cpus", "2"});
  for (int i = 0; i < 100; ++i) {
    Execute("stop");
    Execute("cont");
  }
  EXPECT_EQ(Status(), "running");
}

TEST_F(QmpTest, StopTwiceIsOneEvent) {
  StartAndConnect(Payload("hang"));
  Execute("stop");
  Execute("stop");
  Execute("cont");
  EXPECT_EQ(NextEvent(), "STOP");
  EXPECT_EQ(NextEvent(), "RESUME");
}

TEST_F(QmpTest, SystemResetStartsTheGuestAnew) {
  GuestCode code;
  code.Print("boot\n").HaltForEver();
  StartAndConnect(Kernel(code));
  ASSERT_TRUE(process_->WaitForOutput("boot\n"));
  Execute("system_reset");
  EXPECT_EQ(NextEvent(), "RESET");
  EXPECT_TRUE(process_->WaitForOutput("boot\nboot\n"));
  EXPECT_EQ(Status(), "running");
}

TEST_F(QmpTest, ASystemResetOfAStoppedMachineLeavesItStopped) {
  GuestCode code;
  code.Print("boot\n").HaltForEver();
  StartAndConnect(Kernel(code));
  ASSERT_TRUE(process_->WaitForOutput("boot\n"));
  Execute("stop");
  Execute("system_reset");
  EXPECT_EQ(Status(), "paused");
  process_->WaitUntil([] { return false; }, milliseconds(100));
  EXPECT_EQ(process_->out(), "boot\n");
  Execute("cont");
  EXPECT_TRUE(process_->WaitForOutput("boot\nboot\n"));
}

TEST_F(QmpTest, APanicBeforeASystemResetIsNotTheNextBoots) {
  // Panics when it reads a 'p', and resets at anything else.
  GuestCode code;
  const uint32_t again = code.here();
  code.ReadSerial().Compare('p').IfEqual([again](GuestCode& panic) {
    panic.Print("Kernel panic - not syncing: test\n").Jump(again);
  });
  code.Reset();
  StartAndConnect(Kernel(code), {"--on-reset", "exit"});
  process_->Type("p");
  ASSERT_TRUE(process_->WaitForOutput("test\n"));
  Execute("system_reset");
  process_->Type("r");
  EXPECT_EQ(process_->Wait(), 82) << process_->err();
}

TEST_F(QmpTest, SystemPowerdownReachesTheGuest) {
  GuestCode code;
  code.Print("up\n").WaitForPowerButton().Exit(5);
  StartAndConnect(Kernel(code));
  ASSERT_TRUE(process_->WaitForOutput("up\n"));
  Execute("system_powerdown");
  EXPECT_EQ(process_->Wait(), 5) << process_->err();
}

TEST_F(QmpTest, RegistersOfARunningGuest) {
  StartAndConnect(Payload("spin"), {"--cpus", "2"});
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(
        std::string(Execute("__org.kvmlet_query-registers")["text"]),
        HasSubstr(std::string("vcpu 1:\n") + GuestCode::kProgramCounter));
  }
}

TEST_F(QmpTest, StopAnswersWhileTheReaderOfTheOutputIsStuck) {
  GuestCode code;
  const uint32_t again = code.here();
  code.Print("0123456789abcdef0123456789abcdef0123456789\n").Jump(again);
  StartAndConnect(Kernel(code));
  process_->ReadOutput(false);
  process_->WaitUntil([] { return false; }, milliseconds(500));
  Execute("stop");
  EXPECT_EQ(Status(), "paused");
  Execute("cont");
  Execute("__org.kvmlet_query-registers");
  Execute("system_reset");
  Execute("quit");
  EXPECT_EQ(process_->Wait(seconds(20)), 0);
}

// Sum of a vCPU's statistic of this name, of one provider.
uint64_t StatOf(const Json& groups, const std::string& provider,
                const std::string& name) {
  uint64_t sum = 0;
  for (const Json& group : groups) {
    if (group["provider"] != provider) continue;
    for (const Json& stat : group["stats"]) {
      if (stat["name"] == name) sum += stat["value"].get<uint64_t>();
    }
  }
  return sum;
}

TEST_F(QmpTest, StatisticsFollowTheGuest) {
  StartAndConnect(Busy(), {"--cpus", "2", "--name", "busy"});
  const std::string reason = GuestCode::kLeaveReason;
  const Json vcpu = {{"target", "vcpu"}};
  const Json before = Execute("query-stats", vcpu);
  const uint64_t exits = StatOf(before, "__org.kvmlet_exits", reason);
  Json after;
  ASSERT_TRUE(process_->WaitUntil([&] {
    after = Execute("query-stats", vcpu);
    return StatOf(after, "__org.kvmlet_exits", reason) > exits + 100;
  }));
  const auto metrics =
      std::string(Execute("__org.kvmlet_query-metrics")["text"]);
  EXPECT_THAT(metrics, HasSubstr("kvmlet_vcpu_userspace_exits_total{"
                                 "vm=\"busy\",vcpu=\"0\",reason=\"" +
                                 reason + "\"} "));
  const Json vm = Execute("query-stats", {{"target", "vm"}});
  if (vm.empty()) GTEST_SKIP() << "this KVM has no binary statistics";
  EXPECT_THAT(metrics, HasSubstr("kvmlet_kvm_vcpu_exits_total{vm=\"busy\","
                                 "vcpu=\"1\"} "));
  EXPECT_EQ(vm[0]["provider"], "kvm");
  // KVM counts an exit before the monitor sees it.
  Execute("stop");
  const Json paused = Execute("query-stats", vcpu);
  EXPECT_GE(StatOf(paused, "kvm", "exits"),
            StatOf(paused, "__org.kvmlet_exits", reason));
  const Json schemas = Execute("query-stats-schemas");
  EXPECT_EQ(schemas[0]["target"], "vm");
}

TEST_F(QmpTest, TheSocketIsGoneAfterwards) {
  StartAndConnect(Payload("hang"));
  Execute("quit");
  process_->Wait();
  EXPECT_THAT(Files(), testing::ElementsAre("verdict.json"));
}

TEST_F(QmpTest, ABalloonHasItsProperties) {
  StartAndConnect(Payload("hang"), {"--balloon", "stats=1"});
  EXPECT_EQ(Execute("query-balloon")["actual"], 512u << 20);
  Execute("balloon", {{"value", 256u << 20}});
  // This guest has no driver.
  EXPECT_EQ(Execute("query-balloon")["actual"], 512u << 20);
  const Json stats = Execute(
      "qom-get",
      {{"path", "/machine/peripheral/balloon0"}, {"property", "guest-stats"}});
  EXPECT_EQ(stats["last-update"], 0);
  EXPECT_EQ(stats["stats"]["stat-total-memory"], UINT64_MAX);
  const std::string interval = "guest-stats-polling-interval";
  const auto get = [&] {
    return Execute("qom-get", {{"path", "balloon0"}, {"property", interval}});
  };
  EXPECT_EQ(get(), 1);
  Execute("qom-set",
          {{"path", "balloon0"}, {"property", interval}, {"value", 60u}});
  EXPECT_EQ(get(), 60);
}

TEST_F(QmpTest, CtlIsItsClient) {
  StartAndConnect(Payload("hang"));
  KvmletProcess status({"ctl", Path("qmp"), "query-status"});
  EXPECT_EQ(status.Wait(), 0) << status.err();
  EXPECT_THAT(status.out(), HasSubstr("running"));
  KvmletProcess quit({"ctl", Path("qmp"), "quit"});
  EXPECT_EQ(quit.Wait(), 0) << quit.err();
  EXPECT_EQ(process_->Wait(), 0);
}

// No driver runs here: sizes are wishes, and the device says why.
TEST_F(QmpTest, MemoryDevicesAreDescribedAndResized) {
  const std::string file = File("disk.pmem", std::string(2 << 20, 'x'));
  StartAndConnect(Payload("hang"),
                  {"--virtio-mem", "id=a,max=256G,size=1G", "--virtio-mem",
                   "max=2G,block=1G,shared", "--pmem", file + ",ro"});
  Json list = Execute("query-memory-devices");
  ASSERT_EQ(list.size(), 3u);
  const Json& first = list[0]["data"];
  const Json& second = list[1]["data"];
  const Json& third = list[2]["data"];
  EXPECT_EQ(first["id"], "a");
  EXPECT_EQ(first["requested-size"], 1ull << 30);
  EXPECT_EQ(first["size"], 0);
  EXPECT_EQ(first["__org.kvmlet_state"], "no-driver");
  EXPECT_EQ(second["id"], "vm1");
  EXPECT_EQ(second["block-size"], 1ull << 30);
  // Side by side, above all RAM, wherever that begins.
  EXPECT_GE(
      first["memaddr"].get<uint64_t>(),
      Execute("query-memory-size-summary")["base-memory"].get<uint64_t>());
  EXPECT_GE(second["memaddr"].get<uint64_t>(),
            first["memaddr"].get<uint64_t>() + (256ull << 30));
  EXPECT_EQ(list[2]["type"], "virtio-pmem");
  EXPECT_EQ(third["id"], "pmem0");
  EXPECT_EQ(third["size"], 2 << 20);
  EXPECT_EQ(third["__org.kvmlet_backing"], file);
  EXPECT_GE(third["memaddr"].get<uint64_t>(),
            second["memaddr"].get<uint64_t>() + (2ull << 30));
  Execute("qom-set", {{"path", "/machine/peripheral/a"},
                      {"property", "requested-size"},
                      {"value", 3ull << 30}});
  EXPECT_EQ(Execute("qom-get", {{"path", "a"}, {"property", "requested-size"}}),
            3ull << 30);
  Execute("system_reset");
  list = Execute("query-memory-devices");
  EXPECT_EQ(list[0]["data"]["requested-size"], 3ull << 30);
  Execute("quit");
  EXPECT_EQ(process_->Wait(), 0) << process_->err();
}

TEST_F(QmpTest, AMemoryDeviceRefusesWrongSizes) {
  StartAndConnect(Payload("hang"), {"--virtio-mem", "max=1G"});
  for (const uint64_t size : {uint64_t{3}, uint64_t{2} << 30}) {
    const auto reply = client_->Execute(
        "qom-set",
        {{"path", "vm0"}, {"property", "requested-size"}, {"value", size}},
        Clock::now() + seconds(20));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_THAT(reply->error_text, HasSubstr(std::to_string(size)));
  }
  Execute("quit");
  EXPECT_EQ(process_->Wait(), 0) << process_->err();
}

// What a command of the shell prints, both streams.
std::string Shell(const std::string& command) {
  std::string text;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  while (const size_t n = std::fread(buffer, 1, sizeof(buffer), pipe)) {
    text.append(buffer, n);
  }
  ::pclose(pipe);
  return text;
}

TEST_F(QmpTest, ADumpIsACoreFileThatGdbOpens) {
  GuestCode code;
  code.Store32(GuestCode::kScratch, 0xfeedbabe);
  const uint32_t again = code.here();
  code.LeaveToMonitor().Jump(again);
  StartAndConnect(Kernel(code), {"--cpus", "2"});
  const uint64_t exits = Exits();
  ASSERT_TRUE(process_->WaitUntil([&] { return Exits() > exits + 10; }));
  KvmletProcess dump({"ctl", Path("qmp"), "dump", Path("core")});
  EXPECT_EQ(dump.Wait(), 0) << dump.err();
  // It goes on.
  EXPECT_EQ(Status(), "running");
  const uint64_t after = Exits();
  EXPECT_TRUE(process_->WaitUntil([&] { return Exits() > after + 10; }));
  std::string gdb = Shell("command -v gdb-multiarch || command -v gdb");
  if (gdb.empty()) GTEST_SKIP() << "there is no gdb here";
  gdb.pop_back();
  // This guest translates nothing: its addresses are physical ones.
  const std::string text =
      Shell(gdb + " -nx -batch -c " + Path("core") + " -ex 'info threads'" +
            " -ex 'thread 1' -ex 'printf \"pc %lx\\n\", $pc' -ex 'x/wx " +
            std::to_string(GuestCode::kScratch) + "'");
  EXPECT_THAT(text, HasSubstr("LWP 2")) << text;
  EXPECT_THAT(text, HasSubstr("0xfeedbabe")) << text;
  const size_t at = text.find("pc ");
  ASSERT_NE(at, std::string::npos) << text;
  const uint64_t pc = std::stoull(text.substr(at + 3), nullptr, 16);
  EXPECT_GE(pc, again) << text;
  EXPECT_LT(pc, code.here()) << text;
}

TEST_F(QmpTest, ADumpThatFailsLeavesTheGuestRunning) {
  StartAndConnect(Busy());
  KvmletProcess dump({"ctl", Path("qmp"), "dump", Path("no/core")});
  EXPECT_EQ(dump.Wait(), 1);
  EXPECT_THAT(dump.err(), HasSubstr("ENOENT"));
  const uint64_t exits = Exits();
  EXPECT_TRUE(process_->WaitUntil([&] { return Exits() > exits + 10; }));
  // A machine that is stopped stays so.
  Execute("stop");
  Execute("dump-guest-memory",
          {{"paging", false}, {"protocol", "file:" + Path("core")}});
  EXPECT_EQ(Status(), "paused");
  EXPECT_THAT(Files(), testing::Contains("core"));
  EXPECT_THAT(Files(), testing::Not(testing::Contains(HasSubstr(".tmp"))));
}

}  // namespace
}  // namespace kvmlet
