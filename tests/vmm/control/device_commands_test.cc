// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/device_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/qmp_commands.h"

namespace kvmlet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class DeviceCommandsTest : public ::testing::Test {
 protected:
  DeviceCommandsTest() { RegisterMachineCommands(registry_, machine_); }
  std::string ErrorOf(const std::string& name, const Json& arguments) {
    return std::string(registry_.Run(name, arguments).status().message());
  }

  FakeMachine machine_;
  QmpRegistry registry_;
};

TEST_F(DeviceCommandsTest, AddTakesWhatVfioTakes) {
  EXPECT_EQ(*registry_.Run("device_add", {{"driver", "vfio-pci"},
                                          {"id", "nic"},
                                          {"host", "broker:sock"},
                                          {"vf", 3u},
                                          {"vf-token-file", "secret"},
                                          {"iommufd", true},
                                          {"rombar", 0u},
                                          {"romfile", "r"}}),
            Json::object());
  ASSERT_EQ(machine_.plugged.size(), 1u);
  const PlugRequest& request = machine_.plugged[0];
  EXPECT_EQ(request.id, "nic");
  EXPECT_EQ(request.host, "broker:sock");
  EXPECT_EQ(request.vf, 3u);
  EXPECT_EQ(request.vf_token, "");
  EXPECT_EQ(request.vf_token_file, "secret");
  EXPECT_EQ(request.iommufd, true);
  EXPECT_FALSE(request.rom);
  EXPECT_EQ(request.rom_file, "r");
}

TEST_F(DeviceCommandsTest, AddRefusesWhatCannotBeAdded) {
  EXPECT_THAT(ErrorOf("device_add", {{"driver", "virtio-net-pci"},
                                     {"id", "n"},
                                     {"host", "0000:01:00.0"}}),
              HasSubstr("cannot be added to a running machine"));
  EXPECT_THAT(ErrorOf("device_add", {{"driver", "vfio-pci"}, {"id", "n"}}),
              HasSubstr("host"));
  EXPECT_THAT(ErrorOf("device_add", {{"driver", "vfio-pci"},
                                     {"id", "n"},
                                     {"host", "broker:s"},
                                     {"vf", 1u << 20}}),
              HasSubstr("no virtual function"));
  EXPECT_THAT(machine_.plugged, IsEmpty());
}

TEST_F(DeviceCommandsTest, DelAsksTheGuestUnlessForced) {
  EXPECT_TRUE(registry_.Run("device_del", {{"id", "nic"}}).ok());
  EXPECT_TRUE(
      registry_.Run("device_del", {{"id", "nic"}, {"__org.kvmlet_force", true}})
          .ok());
  EXPECT_THAT(machine_.unplugged,
              ElementsAre(Pair("nic", false), Pair("nic", true)));
}

TEST_F(DeviceCommandsTest, TheMachinesErrorsAreTold) {
  machine_.error = absl::NotFoundError("Device 'nic' not found");
  EXPECT_EQ(ErrorOf("device_del", {{"id", "nic"}}), "Device 'nic' not found");
}

}  // namespace
}  // namespace kvmlet
