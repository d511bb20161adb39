// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/run_flags.h"

#include <gflags/gflags.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/vmm/cli/parse_run.h"

namespace kvmlet::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;
using namespace std::chrono_literals;

TEST(RunFlagsTest, TheTableAndGflagsNameTheSameFlags) {
  std::vector<std::string> table;
  for (const FlagSpec& flag : RunFlags()) table.emplace_back(flag.name);
  EXPECT_THAT(RegisteredRunFlags(), UnorderedElementsAreArray(table));
}

TEST(RunFlagsTest, TheTableAndGflagsAgreeOnSwitches) {
  for (const FlagSpec& flag : RunFlags()) {
    gflags::CommandLineFlagInfo info;
    std::string name(flag.name);
    std::ranges::replace(name, '-', '_');
    ASSERT_TRUE(gflags::GetCommandLineFlagInfo(name.c_str(), &info));
    EXPECT_EQ(info.type == "bool", flag.type == FlagType::kBool) << name;
  }
}

TEST(RunFlagsTest, DefaultsAreThoseOfTheStruct) {
  const absl::StatusOr<VmConfig> config = ParseWith({});
  ASSERT_TRUE(config.ok()) << config.status();
  const VmConfig plain;
  EXPECT_EQ(config->kernel, "vmlinuz");
  EXPECT_EQ(config->cpus.count, plain.cpus.count);
  EXPECT_EQ(config->memory.size, plain.memory.size);
  EXPECT_EQ(config->memory.backing.kind, plain.memory.backing.kind);
  EXPECT_EQ(config->rng, plain.rng);
  EXPECT_EQ(config->console, plain.console);
  EXPECT_EQ(config->serial.kind, plain.serial.kind);
  EXPECT_EQ(config->on_reset, plain.on_reset);
  EXPECT_EQ(config->exit_code, plain.exit_code);
  EXPECT_EQ(config->log_level, plain.log_level);
  EXPECT_FALSE(config->on_hang.report);
  EXPECT_FALSE(config->timeout || config->idle_timeout || config->vsock_cid);
}

TEST(RunFlagsTest, TheDefaultsThatHelpShowsParse) {
  for (const FlagSpec& flag : RunFlags()) {
    const std::string value = DefaultOf(flag);
    if (value.empty()) continue;
    const std::string word = "--" + std::string(flag.name) + "=" + value;
    EXPECT_TRUE(ParseWith({word}).ok()) << word;
  }
}

TEST(RunFlagsTest, ParsingLeavesNoTraceInGflags) {
  ASSERT_TRUE(ParseWith({"--append=x", "--norng", "--name=a"}).ok());
  const absl::StatusOr<VmConfig> config = ParseWith({});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->append, "");
  EXPECT_EQ(config->name, "");
  EXPECT_TRUE(config->rng);
}

TEST(RunFlagsTest, AFailedParseLeavesNoTraceEither) {
  ASSERT_FALSE(Parse({"--kernel=x", "--append=x", "--cpus=0"}).ok());
  EXPECT_THAT(ErrorOf(Parse({})), HasSubstr("--kernel PATH is required"));
}

TEST(RunFlagsTest, PlainStrings) {
  const auto config = Parse({"--kernel", "k", "--initrd", "i", "--append",
                             "a b", "--append-exact", "--verdict", "v.json",
                             "--name", "web-1", "--symbols", "vmlinux"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->kernel, "k");
  EXPECT_EQ(config->initrd, "i");
  EXPECT_EQ(config->append, "a b");
  EXPECT_TRUE(config->append_exact);
  EXPECT_EQ(config->verdict_path, "v.json");
  EXPECT_EQ(config->symbols_path, "vmlinux");
  EXPECT_EQ(config->name, "web-1");
}

TEST(RunFlagsTest, TheLastOfAPlainFlagCounts) {
  const auto config =
      ParseWith({"--memory=1G,shared", "--memory=2G", "--kernel=other"});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->memory.size, 2ull << 30);
  EXPECT_FALSE(config->memory.backing.shared);
  EXPECT_EQ(config->kernel, "other");
}

TEST(RunFlagsTest, CpusWithTopology) {
  const auto config = ParseWith({"--cpus", "8,sockets=2,cores=2,threads=2"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cpus.count, 8u);
  EXPECT_EQ(config->cpus.sockets, 2u);
  EXPECT_EQ(config->cpus.cores, 2u);
  EXPECT_EQ(config->cpus.threads, 2u);
}

TEST(RunFlagsTest, CpusByName) {
  const auto config = ParseWith({"--cpus", "threads=2,count=4"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cpus.count, 4u);
}

TEST(RunFlagsTest, MemoryWithEachBacking) {
  EXPECT_EQ(ParseWith({"--memory=1G"})->memory.backing.kind,
            BackingKind::kAnonymous);
  EXPECT_EQ(ParseWith({"--memory=1G,shared"})->memory.backing.kind,
            BackingKind::kMemfd);
  EXPECT_EQ(ParseWith({"--memory=1G,hugepages=2M"})->memory.backing.kind,
            BackingKind::kHugetlb2M);
  EXPECT_EQ(ParseWith({"--memory=1G,hugepages=1G"})->memory.backing.kind,
            BackingKind::kHugetlb1G);
  const auto file = ParseWith({"--memory=1G,file=/dev/shm/ram,prealloc"});
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->memory.backing.kind, BackingKind::kFile);
  EXPECT_EQ(file->memory.backing.file, "/dev/shm/ram");
  EXPECT_TRUE(file->memory.backing.prealloc);
  EXPECT_FALSE(file->memory.backing.shared);
}

TEST(RunFlagsTest, Numa) {
  const auto config = ParseWith({"--cpus=4", "--memory=1G", "--numa",
                                 "cpus=0-1:3,memory=256M,distances=10:20",
                                 "--numa=cpus=2,memory=768M"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->numa.size(), 2u);
  EXPECT_THAT(config->numa[0].cpus, ElementsAre(0, 1, 3));
  EXPECT_THAT(config->numa[0].distances, ElementsAre(10, 20));
  EXPECT_EQ(config->numa[1].memory, 768ull << 20);
}

TEST(RunFlagsTest, Disks) {
  const auto config = ParseWith({"--disk", "a.img,ro,serial=S1,direct",
                                 "--disk=/dev/sdb,id=data,queues=3"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->disks.size(), 2u);
  const DiskConfig& first = config->disks[0];
  EXPECT_EQ(first.path, "a.img");
  EXPECT_EQ(first.id, "disk0");
  EXPECT_EQ(first.serial, "S1");
  EXPECT_TRUE(first.read_only && first.direct);
  const DiskConfig& second = config->disks[1];
  EXPECT_EQ(second.path, "/dev/sdb");
  EXPECT_EQ(second.id, "data");
  EXPECT_EQ(second.queues, 3);
  EXPECT_FALSE(second.read_only || second.direct);
}

TEST(RunFlagsTest, NetsOfEachKind) {
  const auto config =
      ParseWith({"--net=tap=tap0,mac=52:54:00:AB:cd:01,queues=2,vhost=off",
                 "--net", "passt,id=user", "--net", "fd=7,vhost"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->nets.size(), 3u);
  const NetConfig& tap = config->nets[0];
  EXPECT_EQ(tap.kind, NetKind::kTap);
  EXPECT_EQ(tap.tap, "tap0");
  EXPECT_EQ(tap.id, "net0");
  EXPECT_EQ(tap.mac, (MacAddress{0x52, 0x54, 0, 0xab, 0xcd, 1}));
  EXPECT_EQ(tap.queue_pairs, 2);
  EXPECT_EQ(tap.vhost, std::optional<bool>(false));
  EXPECT_EQ(config->nets[1].kind, NetKind::kPasst);
  EXPECT_EQ(config->nets[1].id, "user");
  EXPECT_EQ(config->nets[1].vhost, std::nullopt);
  EXPECT_EQ(config->nets[2].kind, NetKind::kFd);
  EXPECT_EQ(config->nets[2].fd, 7);
  EXPECT_EQ(config->nets[2].vhost, std::optional<bool>(true));
}

TEST(RunFlagsTest, Switches) {
  const auto config = ParseWith({"--norng", "--console"});
  ASSERT_TRUE(config.ok());
  EXPECT_FALSE(config->rng);
  EXPECT_TRUE(config->console);
}

TEST(RunFlagsTest, Vsock) {
  EXPECT_EQ(ParseWith({"--vsock", "cid=3"})->vsock_cid, 3u);
  EXPECT_EQ(ParseWith({"--vsock", "4294967294"})->vsock_cid, 4294967294u);
}

TEST(RunFlagsTest, Pmem) {
  const auto config =
      ParseWith({"--pmem", "a.img,ro", "--pmem", "file=b,,c.img,dax,id=log"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->pmems.size(), 2u);
  EXPECT_EQ(config->pmems[0].path, "a.img");
  EXPECT_EQ(config->pmems[0].id, "pmem0");
  EXPECT_TRUE(config->pmems[0].read_only);
  EXPECT_EQ(config->pmems[1].path, "b,c.img");
  EXPECT_EQ(config->pmems[1].id, "log");
  EXPECT_TRUE(config->pmems[1].dax);
}

TEST(RunFlagsTest, HostNodesOfANumaNode) {
  const auto config =
      ParseWith({"--numa", "cpus=0,memory=512M,host-nodes=0-1:3"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->numa[0].host_nodes, ElementsAre(0, 1, 3));
}

TEST(RunFlagsTest, Balloon) {
  EXPECT_FALSE(ParseWith({})->balloon);
  EXPECT_TRUE(ParseWith({"--balloon"})->balloon->reporting);
  const auto config = ParseWith({"--balloon", "deflate-on-oom,stats=10,id=b"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->balloon->reporting);
  EXPECT_TRUE(config->balloon->deflate_on_oom);
  EXPECT_EQ(config->balloon->stats_interval, 10s);
  EXPECT_EQ(config->balloon->id, "b");
}

TEST(RunFlagsTest, PassedThroughDevices) {
  const auto config = ParseWith({"--vfio", "0000:01:10.0,vf-token-file=/run/t",
                                 "--vfio", "broker:/run/s,vf=2,id=nic"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->vfio.size(), 2u);
  EXPECT_EQ(config->vfio[0].device, "0000:01:10.0");
  EXPECT_EQ(config->vfio[0].vf_token_file, "/run/t");
  EXPECT_EQ(config->vfio[0].id, "vfio0");
  EXPECT_EQ(config->vfio[1].device, "broker:/run/s");
  EXPECT_EQ(config->vfio[1].vf, 2u);
  EXPECT_EQ(config->vfio[1].id, "nic");
}

TEST(RunFlagsTest, ExpansionRomOfAPassedThroughDevice) {
  const auto config = ParseWith({"--vfio", "01:00.0,romfile=/a/b", "--vfio",
                                 "02:00.0,rom=off", "--vfio", "03:00.0"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->vfio[0].rom_file, "/a/b");
  EXPECT_FALSE(config->vfio[1].rom);
  EXPECT_TRUE(config->vfio[0].rom && config->vfio[2].rom);
  EXPECT_FALSE(ParseWith({"--vfio", "01:00.0,rom=off,romfile=/a/b"}).ok());
}

TEST(RunFlagsTest, DevicesThatASchedulerAssigned) {
  ASSERT_EQ(::setenv("PCIDEVICE_TEST", "0000:01:10.0,0000:01:10.2", 1), 0);
  const auto config = ParseWith({"--vfio", "env:PCIDEVICE_TEST"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->vfio.size(), 2u);
  EXPECT_EQ(config->vfio[1].device, "0000:01:10.2");
  EXPECT_EQ(config->vfio[1].id, "vfio1");
  EXPECT_FALSE(ParseWith({"--vfio", "env:PCIDEVICE_TEST,id=x"}).ok());
  ASSERT_EQ(::unsetenv("PCIDEVICE_TEST"), 0);
}

TEST(RunFlagsTest, OneDeviceTwiceOrTwoInterfacesAreRefused) {
  EXPECT_FALSE(ParseWith({"--vfio", "01:10.0", "--vfio", "01:10.0"}).ok());
  EXPECT_FALSE(
      ParseWith({"--vfio", "01:10.0,iommufd", "--vfio", "01:10.2,iommufd=off"})
          .ok());
}

TEST(RunFlagsTest, InterfaceOfADeviceIsTheHostsUnlessOneIsNamed) {
  const auto config = ParseWith({"--vfio", "01:10.0", "--vfio",
                                 "01:10.2,iommufd=off", "--vfio", "01:10.4"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->vfio[0].iommufd, std::nullopt);
  EXPECT_EQ(config->vfio[1].iommufd, false);
  EXPECT_EQ(ParseWith({"--vfio", "01:10.0,iommufd"})->vfio[0].iommufd, true);
}

TEST(RunFlagsTest, SerialOfEachKind) {
  EXPECT_EQ(ParseWith({"--serial=stdio"})->serial.kind, SerialKind::kStdio);
  EXPECT_EQ(ParseWith({"--serial=pty"})->serial.kind, SerialKind::kPty);
  EXPECT_EQ(ParseWith({"--serial=null"})->serial.kind, SerialKind::kNull);
  const auto file = ParseWith({"--serial", "file:/tmp/a:b"});
  EXPECT_EQ(file->serial.kind, SerialKind::kFile);
  EXPECT_EQ(file->serial.path, "/tmp/a:b");
  EXPECT_EQ(ParseWith({"--serial=unix:s"})->serial.kind, SerialKind::kUnix);
}

TEST(RunFlagsTest, Control) {
  const auto config =
      ParseWith({"--qmp", "unix:vm.sock", "--events", "fd:3", "--timeout",
                 "90s", "--idle-timeout=500ms", "--on-hang", "--on-reset",
                 "exit", "--exit-code=qemu", "--log-level=debug"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->qmp_path, "vm.sock");
  EXPECT_EQ(config->events, "fd:3");
  EXPECT_EQ(config->timeout, std::chrono::nanoseconds(90s));
  EXPECT_EQ(config->idle_timeout, std::chrono::nanoseconds(500ms));
  EXPECT_TRUE(config->on_hang.report);
  EXPECT_EQ(config->on_reset, OnReset::kExit);
  EXPECT_EQ(config->exit_code, ExitCode::kQemu);
  EXPECT_EQ(config->log_level, LogLevel::kDebug);
}

TEST(RunFlagsTest, TraceExits) {
  const auto config = ParseWith({"--trace-exits", "a.trace"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->trace_exits);
  EXPECT_EQ(config->trace_exits->path, "a.trace");
  EXPECT_EQ(config->trace_exits->size, 64u << 20);
  EXPECT_EQ(ParseWith({"--trace-exits=b,size=16K"})->trace_exits->size,
            16u << 10);
  EXPECT_FALSE(ParseWith({})->trace_exits);
}

TEST(RunFlagsTest, OnHang) {
  const auto all = ParseWith(
      {"--gdb", "unix:vm.gdb", "--on-hang", "report,dump=a.core,gdb"});
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(all->on_hang.report);
  EXPECT_TRUE(all->on_hang.gdb);
  EXPECT_EQ(all->on_hang.dump_path, "a.core");
  const auto dump = ParseWith({"--on-hang", "dump=b.core"});
  ASSERT_TRUE(dump.ok()) << dump.status();
  EXPECT_FALSE(dump->on_hang.report || dump->on_hang.gdb);
  EXPECT_EQ(dump->on_hang.dump_path, "b.core");
}

TEST(RunFlagsTest, VirtioMem) {
  const auto config =
      ParseWith({"--virtio-mem", "max=8G", "--virtio-mem",
                 "id=big,max=4G,size=1G,block=1G,hugepages=1G,prealloc,node=0",
                 "--virtio-mem", "max=1G,file=ram", "--virtio-mem",
                 "max=1G,shared", "--numa", "cpus=0,memory=512M"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->virtio_mems.size(), 4u);
  const VirtioMemConfig& plain = config->virtio_mems[0];
  EXPECT_EQ(plain.id, "vm0");
  EXPECT_EQ(plain.max, 8ull << 30);
  EXPECT_EQ(plain.size, 0u);
  EXPECT_EQ(plain.backing.kind, BackingKind::kAnonymous);
  EXPECT_FALSE(plain.node || plain.backing.prealloc);
  const VirtioMemConfig& big = config->virtio_mems[1];
  EXPECT_EQ(big.id, "big");
  EXPECT_EQ(big.size, 1ull << 30);
  EXPECT_EQ(big.block, 1ull << 30);
  EXPECT_EQ(big.backing.kind, BackingKind::kHugetlb1G);
  EXPECT_TRUE(big.backing.prealloc);
  EXPECT_EQ(big.node, 0u);
  const BackingOptions& file = config->virtio_mems[2].backing;
  EXPECT_EQ(file.kind, BackingKind::kFile);
  EXPECT_EQ(file.file, "ram");
  EXPECT_TRUE(file.shared);
  EXPECT_EQ(config->virtio_mems[3].backing.kind, BackingKind::kMemfd);
}

TEST(RunFlagsTest, GdbOnASocketOrOnThisHostsTcp) {
  const auto gdb = [](const char* text) {
    const auto config =
        ParseRun(std::vector<std::string>{"--kernel", "k", "--gdb", text});
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() && config->gdb ? *config->gdb : GdbConfig{};
  };
  EXPECT_EQ(gdb("unix:a/b,wait").path, "a/b");
  EXPECT_TRUE(gdb("unix:a/b,wait").wait);
  EXPECT_FALSE(gdb("tcp:1234").wait);
  EXPECT_EQ(gdb("tcp:1234").port, 1234);
  EXPECT_EQ(gdb("tcp:localhost:1").host, "127.0.0.1");
  EXPECT_EQ(gdb("tcp:[::1]:1").host, "::1");
  EXPECT_EQ(gdb("tcp:0.0.0.0:1,allow-remote").host, "0.0.0.0");
  EXPECT_EQ(gdb("tcp:1,on-disconnect=kill").on_disconnect, OnDisconnect::kKill);
}

TEST(RunFlagsTest, WrongPlacesForGdb) {
  for (const char* text :
       {"unix:", "tcp:", "tcp:0", "tcp:65536", "tcp:x", "tcp:host:1",
        "tcp:0.0.0.0:1", "tcp:[::]:1", "1234", "wait",
        "tcp:1,on-disconnect=maybe", "tcp:1,nonsense"}) {
    const auto config =
        ParseRun(std::vector<std::string>{"--kernel", "k", "--gdb", text});
    EXPECT_FALSE(config.ok()) << text;
    EXPECT_TRUE(config.status().message().find("--gdb") !=
                absl::string_view::npos)
        << config.status();
  }
}

}  // namespace
}  // namespace kvmlet::cli
