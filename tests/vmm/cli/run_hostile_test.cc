// SPDX-License-Identifier: Apache-2.0
// Values that are wrong: each is one line, names its flag, and is status 64.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "tests/vmm/cli/parse_run.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Wrong {
  const char* flag;
  const char* value;

  // Names the case in the test's list; bytes of the object would not.
  friend void PrintTo(const Wrong& wrong, std::ostream* out) {
    *out << wrong.flag << " " << wrong.value;
  }
};

class WrongValueTest : public testing::TestWithParam<Wrong> {};

TEST_P(WrongValueTest, IsOneLineThatNamesTheFlag) {
  const auto [flag, value] = GetParam();
  const auto config = ParseWith({flag, value});
  ASSERT_FALSE(config.ok()) << flag << " " << value;
  EXPECT_THAT(ErrorOf(config), StartsWith(flag));
  EXPECT_EQ(ErrorOf(config).find('\n'), std::string::npos);
  EXPECT_EQ(ExitStatusFor(config.status()), 64);
}

INSTANTIATE_TEST_SUITE_P(
    Machine, WrongValueTest,
    testing::Values(
        Wrong{"--kernel", ""}, Wrong{"--initrd", ""}, Wrong{"--cpus", ""},
        Wrong{"--cpus", "0"}, Wrong{"--cpus", "4097"}, Wrong{"--cpus", "-1"},
        Wrong{"--cpus", "two"}, Wrong{"--cpus", "18446744073709551617"},
        Wrong{"--cpus", "4,sockets=0"}, Wrong{"--cpus", "4,sockets=3"},
        Wrong{"--cpus", "4,sockets=2,cores=2,threads=2"},
        Wrong{"--cpus", "4096,sockets=4096,cores=4096,threads=4096"},
        Wrong{"--cpus", "4,count=4"}, Wrong{"--cpus", "4,dies=1"},
        Wrong{"--cpus", "sockets=2"}, Wrong{"--cpus", "4,sockets"},
        Wrong{"--memory", ""}, Wrong{"--memory", "0"}, Wrong{"--memory", "12"},
        Wrong{"--memory", "1000000"}, Wrong{"--memory", "65T"},
        Wrong{"--memory", "16777216T"}, Wrong{"--memory", "-1G"},
        Wrong{"--memory", "1X"}, Wrong{"--memory", "1G,hugepages"},
        Wrong{"--memory", "1G,hugepages=4K"},
        Wrong{"--memory", "1G,hugepages=2M,file=x"},
        Wrong{"--memory", "3M,hugepages=2M"},
        Wrong{"--memory", "512M,hugepages=1G"}, Wrong{"--memory", "1G,file="},
        Wrong{"--memory", "1G,shared=maybe"}, Wrong{"--memory", "1G,x=1"},
        Wrong{"--memory", "1G,shared,shared"}, Wrong{"--numa", ""},
        Wrong{"--numa", "cpus=0"}, Wrong{"--numa", "memory=1G"},
        Wrong{"--numa", "cpus=1,memory=512M"},
        Wrong{"--numa", "cpus=0:0,memory=512M"},
        Wrong{"--numa", "cpus=0-,memory=512M"},
        Wrong{"--numa", "cpus=3-1,memory=512M"},
        Wrong{"--numa", "cpus=0-99999999999,memory=512M"},
        Wrong{"--numa", "cpus=0::0,memory=512M"},
        Wrong{"--numa", "cpus=0,memory=256M"},
        Wrong{"--numa", "cpus=0,memory=512M,distances=11"},
        Wrong{"--numa", "cpus=0,memory=512M,distances=10:20"},
        Wrong{"--numa", "cpus=0,memory=512M,distances=9"},
        Wrong{"--numa", "cpus=0,memory=512M,host-nodes=1024"},
        Wrong{"--numa", "cpus=0,memory=512M,host-nodes="},
        Wrong{"--numa", "0,memory=512M"}));

INSTANTIATE_TEST_SUITE_P(
    Devices, WrongValueTest,
    testing::Values(
        Wrong{"--disk", ""}, Wrong{"--disk", ",ro"}, Wrong{"--disk", "a,rw"},
        Wrong{"--disk", "a,id="}, Wrong{"--disk", "a,id=a b"},
        Wrong{"--disk", "a,id=a/../b"}, Wrong{"--disk", "a,queues=0"},
        Wrong{"--disk", "a,queues=65"}, Wrong{"--disk", "a,path=b"},
        Wrong{"--disk", "a,serial=123456789012345678901"},
        Wrong{"--disk", "a,=b"}, Wrong{"--net", ""}, Wrong{"--net", "user"},
        Wrong{"--net", "tap="}, Wrong{"--net", "tap=a,passt"},
        Wrong{"--net", "tap=a,fd=1"}, Wrong{"--net", "fd=-1"},
        Wrong{"--net", "fd=4294967296"}, Wrong{"--net", "id=x"},
        Wrong{"--net", "tap=interface-name-too-long"},
        Wrong{"--net", "tap=../x"}, Wrong{"--net", "passt,queues=2"},
        Wrong{"--net", "passt,vhost=on"}, Wrong{"--net", "fd=3,queues=2"},
        Wrong{"--net", "tap=a,queues=0"}, Wrong{"--net", "tap=a,vhost=maybe"},
        Wrong{"--net", "tap=a,mac=52:54:00:12:34"},
        Wrong{"--net", "tap=a,mac=52:54:00:12:34:5g"},
        Wrong{"--net", "tap=a,mac=52:54:00:12:34:0x5"},
        Wrong{"--net", "tap=a,mac=52:54:00:12:34:056"},
        Wrong{"--net", "tap=a,mac=01:00:5e:00:00:01"},
        Wrong{"--net", "tap=a,mac=ff:ff:ff:ff:ff:ff"},
        Wrong{"--net", "tap=a,mac=00:00:00:00:00:00"}, Wrong{"--pmem", ""},
        Wrong{"--pmem", ",ro"}, Wrong{"--pmem", "a,file=b"},
        Wrong{"--pmem", "a,ro,dax"}, Wrong{"--pmem", "a,id="},
        Wrong{"--pmem", "a,rw"}, Wrong{"--vfio", ""}, Wrong{"--vfio", "id=x"},
        Wrong{"--vfio", "01:10.0,vf-token="},
        Wrong{"--vfio", "01:10.0,vf-token=a,vf-token-file=b"},
        Wrong{"--vfio", "01:10.0,vf-token-fd=-1"},
        Wrong{"--vfio", "01:10.0,vf=1"}, Wrong{"--vfio", "broker:/run/s"},
        Wrong{"--vfio", "broker:/run/s,vf=4096"},
        Wrong{"--vfio", "env:NO_SUCH_VARIABLE"},
        Wrong{"--vfio", "01:10.0,token=a"}, Wrong{"--balloon", "report"},
        Wrong{"--balloon", "stats=-1"}, Wrong{"--balloon", "id="},
        Wrong{"--balloon", "id=a b"}, Wrong{"--vsock", ""},
        Wrong{"--vsock", "cid=2"}, Wrong{"--vsock", "cid=4294967295"},
        Wrong{"--vsock", "cid"}, Wrong{"--vsock", "cid=3,x"},
        Wrong{"--serial", ""}, Wrong{"--serial", "file:"},
        Wrong{"--serial", "tcp:1"}, Wrong{"--serial", "stdio,x"}));

INSTANTIATE_TEST_SUITE_P(
    VirtioMem, WrongValueTest,
    testing::Values(Wrong{"--virtio-mem", ""}, Wrong{"--virtio-mem", "8G"},
                    Wrong{"--virtio-mem", "size=1G"},
                    Wrong{"--virtio-mem", "max=0"},
                    Wrong{"--virtio-mem", "max=3M"},
                    Wrong{"--virtio-mem", "max=65T"},
                    Wrong{"--virtio-mem", "max=-1G"},
                    Wrong{"--virtio-mem", "max=1G,max=2G"},
                    Wrong{"--virtio-mem", "max=1G,size=2G"},
                    Wrong{"--virtio-mem", "max=1G,size=1M"},
                    Wrong{"--virtio-mem", "max=1G,block=0"},
                    Wrong{"--virtio-mem", "max=1G,block=1M"},
                    Wrong{"--virtio-mem", "max=6M,block=3M"},
                    Wrong{"--virtio-mem", "max=8G,block=16T"},
                    Wrong{"--virtio-mem", "max=1G,hugepages=1G,block=2M"},
                    Wrong{"--virtio-mem", "max=1536M,hugepages=1G"},
                    Wrong{"--virtio-mem", "max=1G,hugepages=4K"},
                    Wrong{"--virtio-mem", "max=1G,hugepages=2M,file=x"},
                    Wrong{"--virtio-mem", "max=1G,file="},
                    Wrong{"--virtio-mem", "max=1G,node=0"},
                    Wrong{"--virtio-mem", "max=1G,node=x"},
                    Wrong{"--virtio-mem", "max=1G,id=a b"},
                    Wrong{"--virtio-mem", "max=1G,memdev=x"}));

INSTANTIATE_TEST_SUITE_P(
    Control, WrongValueTest,
    testing::Values(
        Wrong{"--qmp", "vm.sock"}, Wrong{"--qmp", "unix:"},
        Wrong{"--qmp", "tcp:4444"}, Wrong{"--events", ""},
        Wrong{"--events", "fd:"}, Wrong{"--events", "fd:x"},
        Wrong{"--events", "fd:-1"}, Wrong{"--timeout", ""},
        Wrong{"--trace-exits", ""}, Wrong{"--trace-exits", "size=1M"},
        Wrong{"--trace-exits", "a,size=8K"},
        Wrong{"--trace-exits", "a,size=257M"},
        Wrong{"--trace-exits", "a,size=x"}, Wrong{"--trace-exits", "a,ring"},
        Wrong{"--timeout", "0"}, Wrong{"--timeout", "soon"},
        Wrong{"--timeout", "-5s"}, Wrong{"--timeout", "999999999h"},
        Wrong{"--idle-timeout", "0ms"}, Wrong{"--on-hang", "dump"},
        Wrong{"--on-hang", "report,gdb"}, Wrong{"--on-hang", "dump="},
        Wrong{"--on-hang", "no"}, Wrong{"--on-hang", "report"},
        Wrong{"--on-reset", "halt"}, Wrong{"--exit-code", "bochs"},
        Wrong{"--name", "a b"}, Wrong{"--name", ""}, Wrong{"--verdict", ""},
        Wrong{"--symbols", ""}, Wrong{"--log-level", "loud"}));

TEST(HostileRunTest, AnOperandIsSuggestedAFlag) {
  const auto config = Parse({"bzImage"});
  EXPECT_THAT(ErrorOf(config), HasSubstr("as in --kernel bzImage"));
  EXPECT_EQ(ExitStatusFor(config.status()), 64);
}

TEST(HostileRunTest, NothingNeedsAKernel) {
  EXPECT_THAT(ErrorOf(Parse({})), StartsWith("--kernel PATH is required"));
}

TEST(HostileRunTest, ExactNeedsSomethingToAppend) {
  EXPECT_THAT(ErrorOf(ParseWith({"--append-exact"})),
              StartsWith("--append-exact"));
}

TEST(HostileRunTest, TwoDevicesCannotHaveOneId) {
  EXPECT_THAT(ErrorOf(ParseWith({"--disk=a,id=x", "--net=passt,id=x"})),
              HasSubstr("id 'x' is used twice"));
}

TEST(HostileRunTest, AChosenIdCanCollideWithADefaultOne) {
  EXPECT_THAT(ErrorOf(ParseWith({"--disk=a,id=disk1", "--disk=b"})),
              HasSubstr("id 'disk1' is used twice"));
}

TEST(HostileRunTest, ASocketPathHasALimit) {
  const std::string path(108, 'x');
  EXPECT_THAT(ErrorOf(ParseWith({"--qmp", "unix:" + path})),
              StartsWith("--qmp: the socket's path"));
  EXPECT_TRUE(ParseWith({"--qmp", "unix:" + path.substr(1)}).ok());
}

TEST(HostileRunTest, LongRangesOfCpusEnd) {
  std::string list = "cpus=0-4095";
  for (int i = 0; i < 10000; ++i) list += ":0-4095";
  EXPECT_FALSE(ParseWith({"--numa", list + ",memory=512M"}).ok());
}

TEST(HostileRunTest, BytesBeyondAsciiArePathsToo) {
  const auto config = ParseWith({"--disk", "\xff\xfe.img"});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->disks[0].path, "\xff\xfe.img");
}

}  // namespace
}  // namespace kvmlet::cli
