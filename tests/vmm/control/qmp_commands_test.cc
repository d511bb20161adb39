// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/vmm/control/fake_machine.h"

namespace kvmlet {
namespace {

class QmpCommandsTest : public ::testing::Test {
 protected:
  QmpCommandsTest() { RegisterMachineCommands(registry_, machine_); }

  // The result as text, or "!error".
  std::string Run(const std::string& name, Json arguments = Json::object()) {
    const auto result = registry_.Run(name, arguments);
    if (!result.ok()) return "!" + std::string(result.status().message());
    return DumpJson(*result);
  }

  FakeMachine machine_;
  QmpRegistry registry_;
};

TEST_F(QmpCommandsTest, QueryStatusNamesEveryState) {
  EXPECT_EQ(Run("query-status"), R"({"running":true,"status":"running"})");
  machine_.state = RunState::kPrelaunch;
  EXPECT_EQ(Run("query-status"), R"({"running":false,"status":"prelaunch"})");
  machine_.state = RunState::kPaused;
  EXPECT_EQ(Run("query-status"), R"({"running":false,"status":"paused"})");
  machine_.state = RunState::kGuestPanicked;
  EXPECT_EQ(Run("query-status"),
            R"({"running":false,"status":"guest-panicked"})");
  machine_.state = RunState::kShutdown;
  EXPECT_EQ(Run("query-status"), R"({"running":false,"status":"shutdown"})");
}

TEST_F(QmpCommandsTest, ActionsReachTheMachine) {
  EXPECT_EQ(Run("stop"), "{}");
  EXPECT_EQ(machine_.state, RunState::kPaused);
  EXPECT_EQ(Run("cont"), "{}");
  EXPECT_EQ(machine_.state, RunState::kRunning);
  EXPECT_EQ(Run("system_powerdown"), "{}");
  EXPECT_EQ(machine_.power_buttons, 1);
  EXPECT_EQ(Run("system_reset"), "{}");
  EXPECT_EQ(machine_.resets, 1);
  EXPECT_EQ(Run("quit"), "{}");
  EXPECT_EQ(machine_.quits, 1);
}

TEST_F(QmpCommandsTest, DumpGuestMemoryTakesAFile) {
  const std::string command = "dump-guest-memory";
  EXPECT_EQ(Run(command, {{"paging", false}, {"protocol", "file:/a:b"}}), "{}");
  EXPECT_EQ(Run(command,
                {{"paging", false}, {"protocol", "file:c"}, {"format", "elf"}}),
            "{}");
  EXPECT_THAT(machine_.dumps, testing::ElementsAre("/a:b", "c"));
  for (const char* protocol : {"", "file:", "fd:1", "/a"}) {
    EXPECT_EQ(Run(command, {{"paging", false}, {"protocol", protocol}}),
              "!protocol is file:PATH");
  }
  EXPECT_EQ(Run(command, {{"paging", true}, {"protocol", "file:c"}}), "{}");
  EXPECT_EQ(machine_.dumps.back(), "c with paging");
  EXPECT_EQ(Run(command, {{"paging", false},
                          {"protocol", "file:c"},
                          {"format", "kdump-zlib"}}),
            "!format is elf");
  EXPECT_THAT(machine_.dumps, testing::SizeIs(3));
  machine_.error = absl::ResourceExhaustedError("dump c: no room");
  EXPECT_EQ(Run(command, {{"paging", false}, {"protocol", "file:c"}}),
            "!dump c: no room");
}

TEST_F(QmpCommandsTest, MachineErrorIsTheCommandsError) {
  machine_.error = absl::FailedPreconditionError("the guest has panicked");
  EXPECT_EQ(Run("cont"), "!the guest has panicked");
  EXPECT_EQ(Run("__org.kvmlet_query-registers"), "!the guest has panicked");
}

TEST_F(QmpCommandsTest, ActionsTakeNoArguments) {
  EXPECT_EQ(Run("quit", {{"now", true}}), "!Parameter 'now' is unexpected");
  EXPECT_EQ(machine_.quits, 0);
}

TEST_F(QmpCommandsTest, SmallQueries) {
  EXPECT_EQ(Run("query-name"), R"({"name":"fake"})");
  EXPECT_EQ(Run("query-kvm"), R"({"enabled":true,"present":true})");
  EXPECT_EQ(Run("query-target"), R"({"arch":"x86_64"})");
  EXPECT_EQ(Run("query-memory-size-summary"),
            R"({"base-memory":536870912,"plugged-memory":536870912})");
}

TEST_F(QmpCommandsTest, BalloonNeedsADevice) {
  EXPECT_EQ(Run("query-balloon"), "!No balloon device");
  EXPECT_EQ(Run("balloon", {{"value", 5u}}), "!No balloon device");
  machine_.balloon = 1;
  EXPECT_EQ(Run("balloon", {{"value", 5u}}), "{}");
  EXPECT_EQ(Run("query-balloon"), R"({"actual":5})");
  EXPECT_EQ(Run("balloon", {{"value", -1}}),
            "!Invalid parameter type for 'value', expected: uint64");
}

TEST_F(QmpCommandsTest, QueryCpusFastHasQemusFields) {
  const auto result = registry_.Run("query-cpus-fast", Json::object());
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->size(), 2u);
  EXPECT_EQ(DumpJson((*result)[1]),
            R"({"__org.kvmlet_exits":9,"cpu-index":1,"props":{"core-id":1,)"
            R"("socket-id":0,"thread-id":0},"qom-path":"/machine/cpu[1]",)"
            R"("target":"x86_64","thread-id":101})");
}

TEST_F(QmpCommandsTest, QueriesOfNothingAreEmptyLists) {
  machine_.vcpu_list.clear();
  machine_.device_list.clear();
  EXPECT_EQ(Run("query-cpus-fast"), "[]");
  EXPECT_EQ(Run("__org.kvmlet_query-devices"), "[]");
}

TEST_F(QmpCommandsTest, QueryDevices) {
  EXPECT_EQ(Run("__org.kvmlet_query-devices"),
            R"([{"address":"00:03.0","backend":"/tmp/disk.img","id":"disk0",)"
            R"("type":"virtio-blk-pci"}])");
}

TEST_F(QmpCommandsTest, QueryRegisters) {
  EXPECT_EQ(Run("__org.kvmlet_query-registers"),
            R"({"text":"vcpu 0\n  rip 1000\n"})");
}

TEST_F(QmpCommandsTest, ResizeDiskNeedsAKnownDisk) {
  EXPECT_EQ(Run("__org.kvmlet_resize-disk", {{"id", "disk0"}}), "{}");
  EXPECT_THAT(machine_.resized, ::testing::ElementsAre("disk0"));
  EXPECT_EQ(Run("__org.kvmlet_resize-disk", {{"id", "nope"}}),
            "!Device 'nope' not found");
  EXPECT_EQ(Run("__org.kvmlet_resize-disk"), "!Parameter 'id' is missing");
  EXPECT_EQ(Run("__org.kvmlet_resize-disk", {{"id", 3}}),
            "!Invalid parameter type for 'id', expected: string");
}

TEST_F(QmpCommandsTest, InjectMemoryErrorSaysWhereAndToWhom) {
  const std::string name = "__org.kvmlet_inject-memory-error";
  EXPECT_EQ(Run(name, {{"address", 0x1000u}}), "{}");
  EXPECT_EQ(
      Run(name,
          {{"address", 0x2000u}, {"action-required", true}, {"vcpu", 1u}}),
      "{}");
  ASSERT_EQ(machine_.memory_errors.size(), 2u);
  EXPECT_EQ(machine_.memory_errors[0].address, 0x1000u);
  EXPECT_FALSE(machine_.memory_errors[0].action_required);
  EXPECT_EQ(machine_.memory_errors[0].vcpu, 0u);
  EXPECT_TRUE(machine_.memory_errors[1].action_required);
  EXPECT_EQ(machine_.memory_errors[1].vcpu, 1u);
}

TEST_F(QmpCommandsTest, InjectMemoryErrorRefusesWhatItCannotMean) {
  const std::string name = "__org.kvmlet_inject-memory-error";
  EXPECT_EQ(Run(name), "!Parameter 'address' is missing");
  EXPECT_EQ(Run(name, {{"address", 0u}, {"vcpu", 1ull << 32}}),
            "!there is no such vCPU");
  machine_.error = absl::FailedPreconditionError("it cannot hear of it");
  EXPECT_EQ(Run(name, {{"address", 0u}}), "!it cannot hear of it");
  EXPECT_TRUE(machine_.memory_errors.empty());
}

TEST_F(QmpCommandsTest, QueryCommandsListsWhatExists) {
  const auto result = registry_.Run("query-commands", Json::object());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->size(), registry_.Names().size() + 1);
  for (const Json& command : *result) {
    const std::string name = StringMember(command, "name");
    EXPECT_TRUE(name == "qmp_capabilities" || registry_.Has(name)) << name;
  }
}

}  // namespace
}  // namespace kvmlet
