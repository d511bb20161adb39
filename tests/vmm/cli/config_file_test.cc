// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "tests/vmm/cli/parse_run.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ConfigFileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "config-" +
            testing::UnitTest::GetInstance()->current_test_info()->name() +
            ".json";
  }
  void TearDown() override { std::remove(path_.c_str()); }

  absl::StatusOr<VmConfig> Load(const std::string& text,
                                std::vector<std::string> args = {}) {
    std::ofstream(path_) << text;
    args.insert(args.begin(), {"--config", path_});
    return ParseRun(args);
  }
  std::string LoadError(const std::string& text) {
    const absl::StatusOr<VmConfig> config = Load(text);
    EXPECT_EQ(ExitStatusFor(config.status()), 65) << text;
    EXPECT_THAT(ErrorOf(config), StartsWith(path_)) << text;
    EXPECT_EQ(ErrorOf(config).find('\n'), std::string::npos);
    return ErrorOf(config);
  }

  std::string path_;
};

constexpr char kEverything[] = R"({
  "name": "web", "kernel": "k", "initrd": "i", "append": "a,b=c",
  "append-exact": true, "acpi": true, "cpus": {"count": 4, "sockets": 2},
  "memory": {"size": "1G", "shared": true},
  "numa": [{"cpus": "0-1", "memory": "512M", "distances": "10:30"},
           "cpus=2-3,memory=512M"],
  "disk": [{"path": "a,b=c.img", "ro": true, "queues": 2}, "b.img,direct"],
  "net": [{"passt": true, "mac": "52:54:00:00:00:01"}, {"tap": "t", "vhost":
  false}], "virtio-mem": [{"id": "m", "max":
  "8G", "size": "1G"}], "vfio": ["01:10.0,iommufd", {"device":
  "02:00.0", "romfile": "r",
  "vf-token-file": "t", "iommufd": true}], "rng": false,
  "console": true, "vsock": {"cid": 5},
  "balloon": {"reporting": true, "stats": 3},
  "pmem": [{"file": "a,b.img", "ro": true}],
  "serial": "file:s.log", "qmp": "unix:q", "gdb": "tcp:9,wait",
  "verdict": "v", "events": "fd:3", "symbols": "s",
  "timeout": 90, "idle-timeout": "500ms", "on-hang": "report",
  "trace-exits": {"path": "t", "size": "1M"},
  "on-reset": "exit", "exit-code": "qemu", "log-level": "info"})";

void ExpectSameMachine(const VmConfig& a, const VmConfig& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.kernel, b.kernel);
  EXPECT_EQ(a.initrd, b.initrd);
  EXPECT_EQ(a.append, b.append);
  EXPECT_EQ(a.append_exact, b.append_exact);
  EXPECT_TRUE(a.acpi && b.acpi);
  EXPECT_EQ(a.cpus.count, b.cpus.count);
  EXPECT_EQ(a.cpus.sockets, b.cpus.sockets);
  EXPECT_EQ(a.memory.size, b.memory.size);
  EXPECT_EQ(a.memory.backing.kind, b.memory.backing.kind);
  ASSERT_EQ(a.numa.size(), b.numa.size());
  EXPECT_EQ(a.numa[0].cpus, b.numa[0].cpus);
  EXPECT_EQ(a.numa[0].distances, b.numa[0].distances);
}

void ExpectSameDevices(const VmConfig& a, const VmConfig& b) {
  ASSERT_EQ(a.disks.size(), b.disks.size());
  EXPECT_EQ(a.disks[0].path, "a,b=c.img");
  EXPECT_EQ(a.disks[0].path, b.disks[0].path);
  EXPECT_EQ(a.disks[0].read_only, b.disks[0].read_only);
  EXPECT_EQ(a.disks[1].direct, b.disks[1].direct);
  ASSERT_EQ(a.nets.size(), b.nets.size());
  EXPECT_EQ(a.nets[0].kind, b.nets[0].kind);
  EXPECT_EQ(a.nets[0].mac, b.nets[0].mac);
  EXPECT_EQ(a.nets[1].vhost, b.nets[1].vhost);
  ASSERT_EQ(a.virtio_mems.size(), b.virtio_mems.size());
  EXPECT_EQ(a.virtio_mems[0].id, "m");
  EXPECT_EQ(a.virtio_mems[0].size, 1ull << 30);
  EXPECT_EQ(a.virtio_mems[0].max, b.virtio_mems[0].max);
  ASSERT_EQ(a.vfio.size(), 2u);
  ASSERT_EQ(b.vfio.size(), 2u);
  EXPECT_EQ(a.vfio[0].device, b.vfio[0].device);
  EXPECT_EQ(a.vfio[1].vf_token_file, b.vfio[1].vf_token_file);
  EXPECT_EQ(a.vfio[1].iommufd, true);
  EXPECT_EQ(b.vfio[1].iommufd, true);
  EXPECT_EQ(a.vfio[1].rom_file, "r");
  EXPECT_EQ(a.vfio[1].rom_file, b.vfio[1].rom_file);
  EXPECT_EQ(a.vfio[1].id, b.vfio[1].id);
}

void ExpectSameRest(const VmConfig& a, const VmConfig& b) {
  EXPECT_EQ(a.rng, b.rng);
  EXPECT_EQ(a.console, b.console);
  EXPECT_EQ(a.vsock_cid, b.vsock_cid);
  ASSERT_EQ(a.pmems.size(), b.pmems.size());
  EXPECT_EQ(a.pmems[0].path, "a,b.img");
  EXPECT_EQ(a.pmems[0].path, b.pmems[0].path);
  EXPECT_EQ(a.pmems[0].read_only, b.pmems[0].read_only);
  ASSERT_TRUE(a.balloon && b.balloon);
  EXPECT_EQ(a.balloon->reporting, b.balloon->reporting);
  EXPECT_EQ(a.balloon->stats_interval, b.balloon->stats_interval);
  EXPECT_EQ(a.serial.kind, b.serial.kind);
  EXPECT_EQ(a.serial.path, b.serial.path);
  EXPECT_EQ(a.qmp_path, b.qmp_path);
  ASSERT_TRUE(a.gdb && b.gdb);
  EXPECT_EQ(a.gdb->port, b.gdb->port);
  EXPECT_EQ(a.gdb->wait, b.gdb->wait);
  EXPECT_EQ(a.verdict_path, b.verdict_path);
  EXPECT_EQ(a.symbols_path, b.symbols_path);
  EXPECT_EQ(a.events, b.events);
  EXPECT_EQ(a.timeout, b.timeout);
  EXPECT_EQ(a.idle_timeout, b.idle_timeout);
  EXPECT_EQ(a.on_hang.report, b.on_hang.report);
  ASSERT_TRUE(a.trace_exits && b.trace_exits);
  EXPECT_EQ(a.trace_exits->path, b.trace_exits->path);
  EXPECT_EQ(a.trace_exits->size, b.trace_exits->size);
  EXPECT_EQ(a.on_reset, b.on_reset);
  EXPECT_EQ(a.exit_code, b.exit_code);
  EXPECT_EQ(a.log_level, b.log_level);
}

TEST_F(ConfigFileTest, EveryFlagMeansWhatItMeansOnTheCommandLine) {
  const auto from_file = Load(kEverything);
  const auto typed = Parse({"--name=web",
                            "--kernel=k",
                            "--initrd=i",
                            "--append=a,b=c",
                            "--append-exact",
                            "--acpi",
                            "--cpus=4,sockets=2",
                            "--memory=1G,shared",
                            "--numa=cpus=0-1,memory=512M,distances=10:30",
                            "--numa=cpus=2-3,memory=512M",
                            "--disk=path=a,,b=c.img,ro,queues=2",
                            "--disk=b.img,direct",
                            "--net=passt,mac=52:54:00:00:00:01",
                            "--net=tap=t,vhost=off",
                            "--virtio-mem=id=m,max=8G,size=1G",
                            "--vfio=01:10.0,iommufd",
                            "--vfio=02:00.0,romfile=r,vf-token-file=t,iommufd",
                            "--norng",
                            "--console",
                            "--vsock=cid=5",
                            "--balloon=reporting,stats=3",
                            "--pmem=file=a,,b.img,ro",
                            "--serial=file:s.log",
                            "--qmp=unix:q",
                            "--gdb=tcp:9,wait",
                            "--verdict=v",
                            "--symbols=s",
                            "--events=fd:3",
                            "--timeout=90",
                            "--idle-timeout=500ms",
                            "--on-hang=report",
                            "--trace-exits=t,size=1M",
                            "--on-reset=exit",
                            "--exit-code=qemu",
                            "--log-level=info"});
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  ASSERT_TRUE(typed.ok()) << typed.status();
  ExpectSameMachine(*from_file, *typed);
  ExpectSameDevices(*from_file, *typed);
  ExpectSameRest(*from_file, *typed);
}

// The test above must not fall behind the table.
TEST_F(ConfigFileTest, EveryFlagIsInThatTest) {
  for (const FlagSpec& flag : RunFlags()) {
    if (flag.name == "config") continue;
    EXPECT_THAT(kEverything, HasSubstr('"' + std::string(flag.name) + '"'));
  }
}

TEST_F(ConfigFileTest, TheCommandLineWins) {
  const auto config =
      Load(R"({"kernel": "k", "memory": "1G", "cpus": 2})", {"--memory=2G"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->memory.size, 2ull << 30);
  EXPECT_EQ(config->cpus.count, 2u);
}

TEST_F(ConfigFileTest, TheCommandLinesDisksReplaceTheFiles) {
  const auto config =
      Load(R"({"kernel": "k", "disk": ["a", "b"]})", {"--disk=c"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->disks.size(), 1u);
  EXPECT_EQ(config->disks[0].path, "c");
}

TEST_F(ConfigFileTest, NumbersAreBytesAndSeconds) {
  const auto config =
      Load(R"({"kernel": "k", "memory": 1073741824, "timeout": 2})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->memory.size, 1ull << 30);
  EXPECT_EQ(config->timeout, std::chrono::seconds(2));
}

TEST_F(ConfigFileTest, AnUnknownKeyNamesFileAndKey) {
  EXPECT_THAT(LoadError(R"({"kernal": "k"})"),
              HasSubstr("unknown key 'kernal' (did you mean kernel?)"));
}

TEST_F(ConfigFileTest, AnUnknownKeyOfADeviceNamesFileAndKey) {
  EXPECT_THAT(LoadError(R"({"kernel": "k", "disk": [{"path": "a", "rw": 1}]})"),
              AllOf(HasSubstr("--disk"), HasSubstr("'rw'")));
}

TEST_F(ConfigFileTest, ASyntaxErrorNamesItsPlace) {
  EXPECT_THAT(LoadError("{\n  \"kernel\": nope\n}"), HasSubstr("line 2"));
}

TEST_F(ConfigFileTest, AKeyGivenTwiceIsAnError) {
  EXPECT_THAT(LoadError(R"({"disk": ["a"], "kernel": "k", "disk": ["b"]})"),
              HasSubstr("'disk' is given twice"));
}

TEST_F(ConfigFileTest, ABadValueNamesFileAndFlag) {
  EXPECT_THAT(LoadError(R"({"kernel": "k", "memory": "5 apples"})"),
              HasSubstr("--memory: '5 apples'"));
}

TEST_F(ConfigFileTest, AFileThatIsNotThereIsStatus66) {
  const auto config = Parse({"--config", "/nonexistent/vm.json"});
  EXPECT_EQ(ExitStatusFor(config.status()), 66);
  EXPECT_THAT(ErrorOf(config), HasSubstr("/nonexistent/vm.json"));
}

TEST_F(ConfigFileTest, AFolderIsNoFile) {
  EXPECT_EQ(ExitStatusFor(Parse({"--config", "/"}).status()), 66);
}

TEST_F(ConfigFileTest, AHugeFileIsRefused) {
  EXPECT_EQ(ExitStatusFor(Parse({"--config", "/dev/zero"}).status()), 65);
}

TEST_F(ConfigFileTest, HostileTextsAreErrors) {
  for (const char* text :
       {"",
        " ",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{",
        "{}}",
        "{\"kernel\"}",
        R"({"kernel": null})",
        R"({"kernel": true})",
        R"({"kernel": ["k"]})",
        R"({"kernel": {"path": "k"}})",
        R"({"kernel": ""})",
        R"({"kernel": "a\u0000b"})",
        "{\"kernel\": \"\xff\"}",
        R"({"kernel": 1.5})",
        R"({"kernel": -1})",
        R"({"kernel": 1e999})",
        R"({"config": "other.json"})",
        R"({"help": true})",
        R"({"": 1})",
        R"({"kernel": "k", "rng": "on"})",
        R"({"kernel": "k", "rng": 1})",
        R"({"kernel": "k", "disk": "a"})",
        R"({"kernel": "k", "disk": {}})",
        R"({"kernel": "k", "disk": [null]})",
        R"({"kernel": "k", "disk": [["a"]]})",
        R"({"kernel": "k", "disk": [{}]})",
        R"({"kernel": "k", "disk": [1.5]})",
        R"({"kernel": "k", "disk": [{"path": {"x": 1}}]})",
        R"({"kernel": "k", "disk": [{"path": "a", "id=x,ro": "b"}]})",
        R"({"kernel": "k", "disk": [{"path": "a", "": "b"}]})",
        R"({"kernel": "k", "cpus": -1})",
        R"({"kernel": "k", "cpus": true})",
        R"({"kernel": "k", "cpus": {"count": 1, "count": 2}})"}) {
    LoadError(text);
  }
}

TEST_F(ConfigFileTest, DeepNestingIsAnError) {
  EXPECT_THAT(LoadError("{\"kernel\": " + std::string(100000, '[')),
              HasSubstr("nested too deep"));
}

TEST_F(ConfigFileTest, AValueCannotSmuggleInAKey) {
  const auto config = Load(
      R"({"kernel": "k", "disk": [{"path": "a,ro", "serial": "s,,id=x"}]})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->disks[0].path, "a,ro");
  EXPECT_EQ(config->disks[0].serial, "s,,id=x");
  EXPECT_FALSE(config->disks[0].read_only);
}

}  // namespace
}  // namespace kvmlet::cli
