// SPDX-License-Identifier: Apache-2.0
#include "vmm/sriov/host_pci.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <sstream>

#include "tests/vmm/sriov/fake_host.h"
#include "vmm/base/exit_status.h"
#include "vmm/sriov/sriov.h"

namespace kvmlet::sriov {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class HostPciTest : public ::testing::Test {
 protected:
  FakeHost host_;
  const std::string vfs_ = FakeHost::Of(FakeHost::kPf) + "/sriov_numvfs";
};

TEST_F(HostPciTest, WritesAndReportsErrors) {
  EXPECT_EQ(WriteFile(host_.root() + "/value", "7"), ENOENT);
  host_.Write("value", "");
  EXPECT_EQ(WriteFile(host_.root() + "/value", "7"), 0);
  EXPECT_EQ(host_.Read("value"), "7");
}

TEST_F(HostPciTest, WriterThatIsHeldUpIsLeftBehind) {
  const std::string fifo = host_.root() + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(WriteFile(fifo, "7", std::chrono::milliseconds(50)), ETIMEDOUT);
}

TEST_F(HostPciTest, NumberChangesThroughZero) {
  ASSERT_TRUE(SetVfs(host_.paths(), host_.Facts(), 3).ok());
  // The file keeps what was written over it last.
  EXPECT_THAT(host_.Read(vfs_), HasSubstr("3"));
}

TEST_F(HostPciTest, SameNumberIsNotWritten) {
  ASSERT_TRUE(SetVfs(host_.paths(), host_.Facts(), 2).ok());
  EXPECT_EQ(host_.Read(vfs_), "2\n");
}

TEST_F(HostPciTest, FunctionsInUseAreNamedAndKept) {
  host_.Hold("/dev/vfio/8");
  EXPECT_THAT(VfsInUse(host_.paths(), host_.Facts()),
              ElementsAre("0000:01:10.2 (held by process 4711 (kvmlet))"));
  const absl::Status status = SetVfs(host_.paths(), host_.Facts(), 0);
  EXPECT_EQ(ExitStatusFor(status), 71);
  EXPECT_THAT(std::string(status.message()), HasSubstr("4711 (kvmlet)"));
  EXPECT_EQ(host_.Read(vfs_), "2\n");
}

TEST_F(HostPciTest, VirtualFunctionHasNone) {
  const absl::Status status =
      SetVfs(host_.paths(), host_.Facts("0000:01:10.0"), 1);
  EXPECT_EQ(ExitStatusFor(status), 65);
}

TEST_F(HostPciTest, DriverThatDoesNotTakeTheDeviceIsSaidSo) {
  host_.Write("bus/pci/drivers/vfio-pci/unbind", "");
  const absl::Status status =
      BindDriver(host_.paths(), host_.Facts("0000:01:10.0"), "igb");
  EXPECT_EQ(ExitStatusFor(status), 69);
  EXPECT_THAT(std::string(status.message()), HasSubstr("modprobe igb"));
  EXPECT_EQ(host_.Read(FakeHost::Of("0000:01:10.0") + "/driver_override"),
            "igb");
  EXPECT_EQ(host_.Read("bus/pci/drivers/vfio-pci/unbind"), "0000:01:10.0");
  EXPECT_EQ(host_.Read("bus/pci/drivers_probe"), "0000:01:10.0");
}

TEST_F(HostPciTest, PhysicalFunctionKeepsItsDriverWhileItHasVirtualOnes) {
  host_.Write("bus/pci/drivers/vfio-pci/unbind", "");
  const absl::Status status = BindDriver(host_.paths(), host_.Facts(), "igb");
  EXPECT_EQ(ExitStatusFor(status), 65);
  EXPECT_THAT(std::string(status.message()), HasSubstr("sriov destroy"));
  EXPECT_EQ(host_.Read("bus/pci/drivers/vfio-pci/unbind"), "");
}

TEST_F(HostPciTest, BoundDeviceIsLeftAlone) {
  EXPECT_TRUE(
      BindDriver(host_.paths(), host_.Facts("0000:01:10.0"), "vfio-pci").ok());
  EXPECT_EQ(host_.Read("bus/pci/drivers_probe"), "");
}

TEST_F(HostPciTest, ShowSaysWhatStandsInTheWay) {
  host_.SetDriver("0000:01:10.2", "igb");
  host_.Hold("/dev/vfio/6");
  const std::string text = ShowText(host_.paths(), "");
  EXPECT_THAT(text, HasSubstr("PF, 2 of 7 VFs"));
  EXPECT_THAT(text, HasSubstr("in use by 4711 (kvmlet)"));
  EXPECT_THAT(text, HasSubstr("free, with the VF token"));
  EXPECT_THAT(text, HasSubstr("it is bound to igb"));
  EXPECT_THAT(ShowText(host_.paths(), "0000:01:10.0"),
              Not(HasSubstr("0000:01:10.2")));
}

TEST(SriovMainTest, UsageErrors) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"dance"},
        {"create", "01:00.0"},
        {"create", "01:00.0", "many"},
        {"serve", "01:00.0", "2"},
        {"show", "--socket"},
        {"show", "--colour=red"},
        {"bind"}}) {
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(SriovMain(args, out, err), 64) << args[0];
    EXPECT_THAT(err.str(), ::testing::StartsWith("kvmlet sriov: "));
  }
}

}  // namespace
}  // namespace kvmlet::sriov
