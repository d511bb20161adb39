// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/sysfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "devices/vfio/explain.h"
#include "devices/vfio/lock_limit.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::vfio {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A host: a network card with two virtual functions, of which the second is on
// vfio-pci, and a disk that shares its group with a sound card.
class SysfsTest : public ::testing::Test {
 protected:
  SysfsTest() {
    fs::remove_all(root_);
    for (const char* driver : {"igb", "vfio-pci", "snd", "pcieport"}) {
      fs::create_directories(root_ + "/bus/pci/drivers/" + driver);
    }
    AddDevice("0000:01:00.0", 6, "igb");
    AddDevice("0000:01:10.0", 7, "");
    AddDevice("0000:01:10.2", 8, "vfio-pci");
    AddDevice("0000:02:00.0", 9, "vfio-pci");
    AddDevice("0000:02:00.1", 9, "snd");
    AddDevice("0000:02:01.0", 9, "pcieport");
    File("0000:01:00.0", "sriov_totalvfs") << "7\n";
    Link("0000:01:00.0/virtfn0", "../0000:01:10.0");
    Link("0000:01:00.0/virtfn1", "../0000:01:10.2");
    Link("0000:01:10.0/physfn", "../0000:01:00.0");
    Link("0000:01:10.2/physfn", "../0000:01:00.0");
    fs::create_directories(Device("0000:01:10.2") + "/vfio-dev/vfio3");
  }
  ~SysfsTest() override { fs::remove_all(root_); }
  std::string Device(const std::string& bdf) {
    return root_ + "/bus/pci/devices/" + bdf;
  }
  std::ofstream File(const std::string& bdf, const std::string& name) {
    return std::ofstream(Device(bdf) + "/" + name);
  }
  void Link(const std::string& from, const std::string& to) {
    fs::create_symlink(to, root_ + "/bus/pci/devices/" + from);
  }
  void AddDevice(const std::string& bdf, int group, const std::string& driver) {
    fs::create_directories(Device(bdf));
    File(bdf, "vendor") << "0x8086\n";
    File(bdf, "class") << "0x020000\n";
    const std::string number = std::to_string(group);
    fs::create_directories(root_ + "/kernel/iommu_groups/" + number +
                           "/devices/" + bdf);
    Link(bdf + "/iommu_group", "../../../../kernel/iommu_groups/" + number);
    if (!driver.empty()) {
      Link(bdf + "/driver", "../../../../bus/pci/drivers/" + driver);
    }
  }
  HostPaths Paths() {
    return {.sys = root_, .dev = "/dev", .proc = root_ + "/proc"};
  }
  DeviceFacts Facts(const std::string& bdf) { return *ReadFacts(Paths(), bdf); }

  const std::string root_ =
      ::testing::TempDir() + "/sysfs-" + std::to_string(::getpid());
};

TEST_F(SysfsTest, PhysicalFunctionKnowsItsVirtualOnes) {
  const DeviceFacts facts = Facts("0000:01:00.0");
  EXPECT_EQ(facts.driver, "igb");
  EXPECT_EQ(facts.vendor, 0x8086u);
  EXPECT_EQ(facts.class_code, 0x020000u);
  EXPECT_EQ(facts.group, 6u);
  EXPECT_EQ(facts.total_vfs, 7u);
  EXPECT_TRUE(facts.is_pf());
  EXPECT_THAT(facts.vfs, ElementsAre("0000:01:10.0", "0000:01:10.2"));
}

TEST_F(SysfsTest, VirtualFunctionKnowsItsPhysicalOneAndItsDeviceFile) {
  const DeviceFacts facts = Facts("0000:01:10.2");
  EXPECT_TRUE(facts.is_vf());
  EXPECT_EQ(facts.pf, "0000:01:00.0");
  EXPECT_EQ(facts.pf_driver, "igb");
  EXPECT_EQ(facts.cdev, "vfio3");
  EXPECT_TRUE(CheckUsable(facts).ok());
}

TEST_F(SysfsTest, MembersOfTheGroupThatTheHostUsesAreNamed) {
  const absl::Status status = CheckUsable(Facts("0000:02:00.0"));
  EXPECT_EQ(ExitStatusFor(status), 65);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0000:02:00.1 (snd)"));
  EXPECT_THAT(std::string(status.message()),
              ::testing::Not(HasSubstr("pcieport")));
}

TEST_F(SysfsTest, DeviceOnAnotherDriverOrWithoutIommuIsRefused) {
  EXPECT_THAT(std::string(CheckUsable(Facts("0000:01:00.0")).message()),
              HasSubstr("bound to igb"));
  EXPECT_THAT(std::string(CheckUsable(Facts("0000:01:10.0")).message()),
              HasSubstr("bound to no driver"));
  fs::remove(Device("0000:01:10.2") + "/iommu_group");
  const absl::Status status = CheckUsable(Facts("0000:01:10.2"));
  EXPECT_EQ(ExitStatusFor(status), 69);
  EXPECT_THAT(std::string(status.message()), HasSubstr("intel_iommu=on"));
}

TEST_F(SysfsTest, MissingDeviceIsSaidSo) {
  const absl::Status status = ReadFacts(Paths(), "0000:09:00.0").status();
  EXPECT_EQ(ExitStatusFor(status), 66);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no such PCI device"));
}

TEST_F(SysfsTest, HoldersOfAFileAreNamed) {
  fs::create_directories(root_ + "/proc/4711/fd");
  std::ofstream(root_ + "/proc/4711/comm") << "qemu\n";
  fs::create_symlink("/dev/vfio/8", root_ + "/proc/4711/fd/9");
  EXPECT_THAT(HoldersOf(Paths(), "/dev/vfio/8"), ElementsAre("4711 (qemu)"));
  EXPECT_TRUE(HoldersOf(Paths(), "/dev/vfio/7").empty());
  const absl::Status busy =
      ExplainOpenGroup(EBUSY, Paths(), Facts("0000:01:10.2"));
  EXPECT_THAT(std::string(busy.message()), HasSubstr("process 4711 (qemu)"));
}

// The group's interface where it is there, whatever else is.
TEST_F(SysfsTest, InterfaceIsTheOneThatTheHostOffers) {
  HostPaths paths = Paths();
  paths.dev = root_ + "/dev";
  const auto add = [&paths](const std::string& name) {
    std::ofstream(paths.dev + name) << "";
  };
  fs::create_directories(paths.dev + "/vfio/devices");
  const DeviceFacts facts = Facts("0000:01:10.2");
  EXPECT_FALSE(OnlyIommufd(paths, facts));
  add("/iommu");
  EXPECT_FALSE(OnlyIommufd(paths, facts));
  add("/vfio/devices/vfio3");
  EXPECT_TRUE(OnlyIommufd(paths, facts));
  add("/vfio/8");
  EXPECT_TRUE(OnlyIommufd(paths, facts)) << "a group, and no container";
  add("/vfio/vfio");
  EXPECT_FALSE(OnlyIommufd(paths, facts));
  fs::remove(paths.dev + "/vfio/8");
  EXPECT_TRUE(OnlyIommufd(paths, facts)) << "a container, and no group";
  EXPECT_FALSE(OnlyIommufd(paths, Facts("0000:02:00.0"))) << "no device file";
}

TEST(DeviceNameTest, FormsOfAName) {
  EXPECT_EQ(*ParseDeviceName("0000:01:10.0"), "0000:01:10.0");
  EXPECT_EQ(*ParseDeviceName("01:1F.7"), "0000:01:1f.7");
  EXPECT_EQ(*ParseDeviceName("/sys/bus/pci/devices/0001:01:10.0/"),
            "0001:01:10.0");
  for (const char* bad : {"", "/", "1:2.3", "0000:01:10.8", "0000:01:10",
                          "0000;01:10.0", "00000:01:10.0"}) {
    EXPECT_EQ(ExitStatusFor(ParseDeviceName(bad).status()), 65) << bad;
  }
}

TEST(LockLimitTest, SaysWhatToRaise) {
  EXPECT_TRUE(
      CheckLockLimit({.bytes = 1 << 20, .exempt = false}, 1 << 20).ok());
  EXPECT_TRUE(CheckLockLimit({.bytes = 0, .exempt = true}, 1 << 30).ok());
  const absl::Status status =
      CheckLockLimit({.bytes = 8 << 20, .exempt = false}, 1ull << 30);
  EXPECT_EQ(ExitStatusFor(status), 71);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ulimit -l 1048576"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("LimitMEMLOCK=1073741824"));
}

}  // namespace
}  // namespace kvmlet::vfio
