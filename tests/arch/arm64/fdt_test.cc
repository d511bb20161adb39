// SPDX-License-Identifier: Apache-2.0
// The device tree against the machine that was asked for, and through dtc, the
// reference compiler, without a warning.
#include "arch/arm64/fdt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "arch/arm64/layout.h"
#include "tests/arch/arm64/fdt_reader.h"
#include "tests/arch/arm64/machines.h"

namespace kvmlet::arch::arm64 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

FdtReader Build(const FdtMachine& machine) {
  auto blob = BuildFdt(machine);
  EXPECT_TRUE(blob.ok()) << blob.status();
  return FdtReader(blob.ok() ? *std::move(blob) : Bytes(64));
}

TEST(FdtTest, ChosenTellsWhatIsLoaded) {
  const FdtReader fdt = Build(Machine());
  EXPECT_EQ(fdt.Text("/chosen", "bootargs"), "console=ttyAMA0 quiet");
  EXPECT_EQ(fdt.Text("/chosen", "stdout-path"), "/pl011@9000000");
  EXPECT_TRUE(fdt.Has("/pl011@9000000"));
  EXPECT_THAT(fdt.Numbers("/chosen", "linux,initrd-start"),
              ElementsAre(kRam + 100 * kMiB));
  EXPECT_THAT(fdt.Numbers("/chosen", "linux,initrd-end"),
              ElementsAre(kRam + 100 * kMiB + 1234));
  EXPECT_THAT(fdt.Numbers("/chosen", "kaslr-seed"),
              ElementsAre(0x0123456789abcdef));
  EXPECT_EQ(fdt.Raw("/chosen", "rng-seed").size(), 64u);
}

TEST(FdtTest, WithoutInitrdThereIsNoTrace) {
  FdtMachine machine = Machine();
  machine.initrd.reset();
  const FdtReader fdt = Build(machine);
  EXPECT_FALSE(fdt.Has("/chosen", "linux,initrd-start"));
}

TEST(FdtTest, MemoryIsWhatWasAskedFor) {
  const FdtReader fdt = Build(Machine());
  EXPECT_EQ(fdt.Text("/memory@40000000", "device_type"), "memory");
  EXPECT_THAT(fdt.Numbers("/memory@40000000", "reg"),
              ElementsAre(kRam, 512 * kMiB));
  EXPECT_FALSE(fdt.Has("/memory@40000000", "numa-node-id"));
}

TEST(FdtTest, EveryCpuIsThereByItsAffinity) {
  const FdtReader fdt = Build(Machine(18));
  EXPECT_EQ(fdt.Cell("/cpus", "#address-cells"), 1u);
  EXPECT_EQ(fdt.Cell("/cpus/cpu@f", "reg"), 15u);
  EXPECT_EQ(fdt.Cell("/cpus/cpu@101", "reg"), 0x101u);
  EXPECT_EQ(fdt.Text("/cpus/cpu@101", "enable-method"), "psci");
  EXPECT_EQ(fdt.Children("/cpus").size(), 20u);  // a cache, the cpu-map
  EXPECT_EQ(fdt.Text("/psci", "method"), "hvc");
}

TEST(FdtTest, AffinityAboveBit32TakesTwoCells) {
  FdtMachine machine = Machine(2);
  machine.cpus[1].mpidr = 0x180000000;
  const FdtReader fdt = Build(machine);
  EXPECT_EQ(fdt.Cell("/cpus", "#address-cells"), 2u);
  EXPECT_THAT(fdt.Cells("/cpus/cpu@100000000", "reg"), ElementsAre(1, 0));
}

TEST(FdtTest, CpuMapFollowsTheTopology) {
  FdtMachine machine = Machine(8);
  machine.threads_per_core = 2;
  for (uint32_t i = 0; i < 8; ++i) {
    machine.cpus[i].socket = i / 4;
    machine.cpus[i].core = i / 2 % 2;
    machine.cpus[i].thread = i % 2;
  }
  const FdtReader fdt = Build(machine);
  const std::string path = "/cpus/cpu-map/socket1/cluster0/core0/thread1";
  EXPECT_EQ(fdt.PathOf(fdt.Cell(path, "cpu")), "/cpus/cpu@5");
  EXPECT_THAT(fdt.Children("/cpus/cpu-map"), ElementsAre("socket0", "socket1"));
  EXPECT_EQ(fdt.PathOf(fdt.Cell("/cpus/cpu@3", "next-level-cache")),
            "/cpus/l2-cache0");
  EXPECT_EQ(fdt.PathOf(fdt.Cell("/cpus/cpu@5", "next-level-cache")),
            "/cpus/l2-cache1");
}

TEST(FdtTest, CoresWithoutThreadsHoldTheirCpu) {
  const FdtReader fdt = Build(Machine(2));
  const uint32_t cpu = fdt.Cell("/cpus/cpu-map/socket0/cluster0/core1", "cpu");
  EXPECT_EQ(fdt.PathOf(cpu), "/cpus/cpu@1");
}

TEST(FdtTest, NumaNodesAreOnCpusAndMemory) {
  FdtMachine machine = Machine(2);
  machine.memory = {{Range(kRam, 256 * kMiB), 0},
                    {Range(kRam + 256 * kMiB, 128 * kMiB), 1}};
  machine.cpus[1].node = 1;
  machine.distances = {{10, 20}, {25, 10}};
  const FdtReader fdt = Build(machine);
  EXPECT_EQ(fdt.Cell("/memory@50000000", "numa-node-id"), 1u);
  EXPECT_EQ(fdt.Cell("/cpus/cpu@1", "numa-node-id"), 1u);
  EXPECT_EQ(fdt.Cell("/cpus/cpu@0", "numa-node-id"), 0u);
  EXPECT_EQ(fdt.Cell("/pcie@30000000", "numa-node-id"), 0u);
  EXPECT_THAT(fdt.Cells("/distance-map", "distance-matrix"),
              ElementsAre(0, 0, 10, 0, 1, 20, 1, 0, 25, 1, 1, 10));
}

TEST(FdtTest, GicV3HasItsRedistributorsAndIts) {
  const FdtReader fdt = Build(Machine(3));
  EXPECT_EQ(fdt.Text("/intc@8000000", "compatible"), "arm,gic-v3");
  EXPECT_THAT(
      fdt.Numbers("/intc@8000000", "reg"),
      ElementsAre(kGicDistributor, 0x10000, kGicRedistributors, 3 * 0x20000));
  const std::string its = "/intc@8000000/msi-controller@8080000";
  EXPECT_EQ(fdt.Text(its, "compatible"), "arm,gic-v3-its");
  // Every requester id is translated to itself.
  const auto map = fdt.Cells("/pcie@30000000", "msi-map");
  EXPECT_THAT(map, ElementsAre(0, fdt.Cell(its, "phandle"), 0, 0x10000));
  EXPECT_FALSE(fdt.Has("/pcie@30000000", "msi-parent"));
}

TEST(FdtTest, WithoutItsMsisGoToTheV2mFrame) {
  for (const GicKind kind : {GicKind::kV3V2m, GicKind::kV2}) {
    const FdtReader fdt = Build(Machine(2, kind));
    const std::string frame = "/intc@8000000/v2m@8020000";
    EXPECT_EQ(fdt.Text(frame, "compatible"), "arm,gic-v2m-frame");
    EXPECT_EQ(fdt.Cell(frame, "arm,msi-base-spi"), 96u);
    EXPECT_EQ(fdt.Cell(frame, "arm,msi-num-spis"), 192u);
    EXPECT_EQ(fdt.PathOf(fdt.Cell("/pcie@30000000", "msi-parent")), frame);
    EXPECT_FALSE(fdt.Has("/pcie@30000000", "msi-map"));
  }
}

TEST(FdtTest, PrivateInterruptsNameTheCpusOnGicV2Only) {
  const FdtReader v3 = Build(Machine(2));
  EXPECT_THAT(v3.Cells("/timer", "interrupts"),
              ElementsAre(1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4));
  EXPECT_THAT(v3.Cells("/pmu", "interrupts"), ElementsAre(1, 7, 4));
  const FdtReader v2 = Build(Machine(3, GicKind::kV2));
  EXPECT_THAT(v2.Cells("/pmu", "interrupts"), ElementsAre(1, 7, 0x704));
}

TEST(FdtTest, PmuIsOnlyThereWhenTheHostHasOne) {
  FdtMachine machine = Machine();
  machine.pmu = false;
  EXPECT_FALSE(Build(machine).Has("/pmu"));
}

TEST(FdtTest, PciWindowsAreThePlans) {
  const FdtReader fdt = Build(Machine());
  EXPECT_THAT(fdt.Numbers("/pcie@30000000", "reg"),
              ElementsAre(kEcam, kEcamSize));
  EXPECT_THAT(fdt.Cells("/pcie@30000000", "bus-range"), ElementsAre(0, 0));
  EXPECT_THAT(fdt.Cells("/pcie@30000000", "ranges"),
              ElementsAre(0x02000000, 0, 0x10000000, 0, 0x10000000, 0,
                          0x20000000,  //
                          0x43000000, 0x80, 0, 0x80, 0, 0x80, 0));
  // Slot 5, INTB#: the mask leaves two bits of the slot.
  const auto map = fdt.Cells("/pcie@30000000", "interrupt-map");
  ASSERT_EQ(map.size(), 160u);
  const std::vector<uint32_t> entry(map.begin() + 50, map.begin() + 60);
  EXPECT_THAT(entry, ElementsAre(1 << 11, 0, 0, 2, 1, 0, 0, 0, 5, 4));
}

TEST(FdtTest, DevicesAreWhereTheMapPutsThem) {
  const FdtReader fdt = Build(Machine());
  const std::pair<std::string, std::string> devices[] = {
      {"/pl011@9000000", "arm,pl011"},
      {"/pl031@9010000", "arm,pl031"},
      {"/pl061@9030000", "arm,pl061"},
      {"/exit@9080000", "kvmlet,exit"},
      {"/pvpanic@9090000", "qemu,pvpanic-mmio"}};
  for (const auto& [path, compatible] : devices) {
    EXPECT_EQ(fdt.Text(path, "compatible"), compatible);
  }
  EXPECT_EQ(fdt.Cell("/gpio-keys/poweroff", "linux,code"), 116u);
}

// What dtc says about the blob when it turns it into source.
std::string DtcComplaints(const Bytes& blob) {
  char name[] = "/tmp/kvmlet-fdt.XXXXXX";
  const int fd = mkstemp(name);
  EXPECT_EQ(write(fd, blob.data(), blob.size()),
            static_cast<ssize_t>(blob.size()));
  close(fd);
  const std::string command =
      std::string("dtc -I dtb -O dts -o /dev/null ") + name + " 2>&1; echo $?";
  FILE* const pipe = popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) {
    output.append(buffer, n);
  }
  pclose(pipe);
  unlink(name);
  return output;
}

TEST(FdtDtcTest, ReadsEveryMachineWithoutAWarning) {
  if (std::system("command -v dtc >/dev/null") != 0) {
    GTEST_SKIP() << "dtc is not installed: apt install device-tree-compiler";
  }
  for (const GicKind kind : {GicKind::kV3Its, GicKind::kV3V2m, GicKind::kV2}) {
    FdtMachine machine = Machine(8, kind);
    EXPECT_EQ(DtcComplaints(*BuildFdt(machine)), "0\n");
    machine.memory = {{Range(kRam, 256 * kMiB), 0},
                      {Range(kRam + 256 * kMiB, 128 * kMiB), 1}};
    machine.distances = {{10, 20}, {20, 10}};
    machine.threads_per_core = 2;
    for (uint32_t i = 0; i < 8; ++i) {
      machine.cpus[i].core = i / 2;
      machine.cpus[i].thread = i % 2;
    }
    EXPECT_EQ(DtcComplaints(*BuildFdt(machine)), "0\n");
  }
}

TEST(FdtTest, GrowsWithTheMachine) {
  const FdtReader fdt = Build(Machine(512));
  EXPECT_EQ(fdt.Children("/cpus").size(), 514u);
  EXPECT_GT(fdt.blob().size(), 64u * 1024);
}

TEST(FdtTest, SaysWhenItDoesNotFit) {
  FdtMachine machine = Machine();
  machine.command_line = std::string(3 * kMiB, 'x');
  EXPECT_FALSE(BuildFdt(machine).ok());
}

}  // namespace
}  // namespace kvmlet::arch::arm64
