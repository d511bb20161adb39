// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/memory_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/qmp_commands.h"

namespace kvmlet {
namespace {

using ::testing::HasSubstr;

class MemoryCommandsTest : public ::testing::Test {
 protected:
  MemoryCommandsTest() { RegisterMachineCommands(registry_, machine_); }

  absl::StatusOr<Json> Run(const std::string& name,
                           Json arguments = Json::object()) {
    return registry_.Run(name, arguments);
  }

  FakeMachine machine_;
  QmpRegistry registry_;
};

TEST_F(MemoryCommandsTest, DevicesHaveQemusFields) {
  const Json list = *Run("query-memory-devices");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["type"], "virtio-mem");
  const Json& data = list[0]["data"];
  EXPECT_EQ(data["id"], "vm0");
  EXPECT_EQ(data["memaddr"], 4ull << 30);
  EXPECT_EQ(data["requested-size"], 1ull << 30);
  EXPECT_EQ(data["size"], 512ull << 20);
  EXPECT_EQ(data["max-size"], 8ull << 30);
  EXPECT_EQ(data["block-size"], 2ull << 20);
  EXPECT_EQ(data["node"], 1);
  EXPECT_EQ(data["memdev"], "/objects/vm0");
  EXPECT_EQ(data["__org.kvmlet_answers"]["busy"], 2);
}

TEST_F(MemoryCommandsTest, PersistentMemoryIsAMemoryDeviceToo) {
  const Json list = *Run("query-memory-devices");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1]["type"], "virtio-pmem");
  const Json& data = list[1]["data"];
  EXPECT_EQ(data["id"], "pmem0");
  EXPECT_EQ(data["memaddr"], 16ull << 30);
  EXPECT_EQ(data["size"], 64ull << 20);
  EXPECT_EQ(data["memdev"], "/objects/pmem0");
  EXPECT_EQ(data["__org.kvmlet_backing"], "disk.pmem");
  EXPECT_EQ(data["__org.kvmlet_read-only"], true);
  // It is no memory that comes and goes.
  EXPECT_EQ((*Run("query-memory-size-summary"))["plugged-memory"],
            512ull << 20);
}

TEST_F(MemoryCommandsTest, TheBlockMapIsRuns) {
  machine_.fake_memory.runs = {{0, 3}, {100, 1}};
  const Json map = *Run("__org.kvmlet_query-memory-blocks", {{"id", "vm0"}});
  EXPECT_EQ(map["blocks"], 4096);
  EXPECT_EQ(map["usable-blocks"], 1024);
  EXPECT_EQ(DumpJson(map["plugged"]),
            R"([{"count":3,"first":0},{"count":1,"first":100}])");
}

TEST_F(MemoryCommandsTest, FaultsReachTheDevice) {
  ASSERT_TRUE(Run("__org.kvmlet_memory-fault", {{"id", "vm0"},
                                                {"request", "plug"},
                                                {"response", "busy"},
                                                {"count", 3u},
                                                {"delay-ms", 20u},
                                                {"offset", 4096u},
                                                {"size", 8192u}})
                  .ok());
  ASSERT_EQ(machine_.fake_memory.faults.size(), 1u);
  const MemoryFault& fault = machine_.fake_memory.faults[0];
  EXPECT_EQ(fault.request, "plug");
  EXPECT_EQ(fault.response, "busy");
  EXPECT_EQ(fault.count, 3u);
  EXPECT_EQ(fault.delay.count(), 20);
  EXPECT_EQ(fault.offset, 4096u);
  EXPECT_EQ(fault.size, 8192u);
  ASSERT_TRUE(Run("__org.kvmlet_memory-fault-clear", {{"id", "vm0"}}).ok());
  EXPECT_TRUE(machine_.fake_memory.faults.empty());
}

TEST_F(MemoryCommandsTest, WhatIsWrongIsRefused) {
  for (const char* name :
       {"__org.kvmlet_query-memory-blocks", "__org.kvmlet_memory-fault",
        "__org.kvmlet_memory-fault-clear"}) {
    EXPECT_EQ(Run(name, {{"id", "vm9"}}).status().code(),
              absl::StatusCode::kNotFound);
    EXPECT_FALSE(Run(name).ok());
  }
  const auto late =
      Run("__org.kvmlet_memory-fault", {{"id", "vm0"}, {"delay-ms", 3600001u}});
  EXPECT_THAT(std::string(late.status().message()), HasSubstr("hour"));
}

}  // namespace
}  // namespace kvmlet
