// SPDX-License-Identifier: Apache-2.0
#include "vmm/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvmlet {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::chrono_literals;

VmConfig Valid() {
  VmConfig config;
  config.kernel = "vmlinuz";
  return config;
}

DiskConfig Disk(std::string path) {
  DiskConfig disk;
  disk.path = std::move(path);
  return disk;
}

// Two nodes that fit the machine.
VmConfig WithNodes() {
  VmConfig config = Valid();
  config.cpus.count = 4;
  config.memory.size = 1 << 30;
  config.numa = {{{0, 1}, 512 << 20, {}}, {{2, 3}, 512 << 20, {}}};
  return config;
}

std::string ErrorOf(const VmConfig& config) {
  const absl::Status status = config.Validate();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(VmConfigTest, AKernelIsEnough) { EXPECT_TRUE(Valid().Validate().ok()); }

TEST(VmConfigTest, AKernelIsNeeded) {
  EXPECT_THAT(ErrorOf(VmConfig()), StartsWith("--kernel"));
}

TEST(VmConfigTest, CpusHaveLimits) {
  VmConfig config = Valid();
  config.cpus.count = 4096;
  EXPECT_TRUE(config.Validate().ok());
  config.cpus.count = 4097;
  EXPECT_THAT(ErrorOf(config), StartsWith("--cpus"));
  config.cpus.count = 0;
  EXPECT_THAT(ErrorOf(config), StartsWith("--cpus"));
}

TEST(VmConfigTest, APartialTopologyMustDivide) {
  VmConfig config = Valid();
  config.cpus = {.count = 6, .sockets = 0, .cores = 3, .threads = 0};
  EXPECT_TRUE(config.Validate().ok());
  config.cpus.cores = 4;
  EXPECT_THAT(ErrorOf(config), HasSubstr("does not divide 6"));
}

TEST(VmConfigTest, AFullTopologyMustBeTheProduct) {
  VmConfig config = Valid();
  config.cpus = {.count = 8, .sockets = 2, .cores = 2, .threads = 2};
  EXPECT_TRUE(config.Validate().ok());
  config.cpus.count = 16;
  EXPECT_THAT(ErrorOf(config), HasSubstr("is 8, not 16"));
}

TEST(VmConfigTest, ATopologyCannotOverflow) {
  VmConfig config = Valid();
  config.cpus = {.count = 1,
                 .sockets = UINT32_MAX,
                 .cores = UINT32_MAX,
                 .threads = UINT32_MAX};
  EXPECT_THAT(ErrorOf(config), StartsWith("--cpus"));
}

TEST(VmConfigTest, MemoryHasLimits) {
  VmConfig config = Valid();
  config.memory.size = 1 << 20;
  EXPECT_TRUE(config.Validate().ok());
  config.memory.size = 1ull << 46;
  EXPECT_TRUE(config.Validate().ok());
  for (const uint64_t size : std::vector<uint64_t>{
           0, 4096, (1 << 20) + 1, (1ull << 46) + 4096, UINT64_MAX}) {
    config.memory.size = size;
    EXPECT_THAT(ErrorOf(config), StartsWith("--memory")) << size;
  }
}

TEST(VmConfigTest, MemoryIsAMultipleOfItsPages) {
  VmConfig config = Valid();
  config.memory.backing.kind = BackingKind::kHugetlb2M;
  config.memory.size = 3 << 20;
  EXPECT_THAT(ErrorOf(config), HasSubstr("2 MiB"));
  config.memory.backing.kind = BackingKind::kHugetlb1G;
  config.memory.size = 512 << 20;
  EXPECT_THAT(ErrorOf(config), HasSubstr("1 GiB"));
}

TEST(VmConfigTest, NodesThatFitAreFine) {
  EXPECT_TRUE(WithNodes().Validate().ok());
}

TEST(VmConfigTest, ANodeMayLackCpusOrMemory) {
  VmConfig config = WithNodes();
  config.numa[0].cpus = {0, 1, 2, 3};
  config.numa[1].cpus = {};
  EXPECT_TRUE(config.Validate().ok());
  config.numa[0].memory = 0;
  config.numa[1].memory = 1 << 30;
  EXPECT_TRUE(config.Validate().ok());
  config.numa.push_back({});
  EXPECT_THAT(ErrorOf(config), HasSubstr("node 2 is empty"));
}

TEST(VmConfigTest, ANodeMayBeNothingButWhatIsPluggedIntoIt) {
  VmConfig config = WithNodes();
  config.numa.emplace_back().host_nodes = {0};
  config.virtio_mems.emplace_back().max = 1 << 30;
  config.virtio_mems[0].node = 1;
  EXPECT_THAT(ErrorOf(config), HasSubstr("node 2 is empty"));
  config.virtio_mems[0].node = 2;
  EXPECT_TRUE(config.Validate().ok()) << ErrorOf(config);
}

TEST(VmConfigTest, ACpuBelongsToOneNode) {
  VmConfig config = WithNodes();
  config.numa[1].cpus = {1, 2, 3};
  EXPECT_THAT(ErrorOf(config), HasSubstr("vCPU 1 is named twice"));
  config.numa[1].cpus = {3};
  EXPECT_THAT(ErrorOf(config), HasSubstr("vCPU 2 belongs to no node"));
  config.numa[1].cpus = {2, 3, 4};
  EXPECT_THAT(ErrorOf(config), HasSubstr("vCPU 4"));
  config.numa[1].cpus = {2, UINT32_MAX};
  EXPECT_THAT(ErrorOf(config), HasSubstr("vCPU 4294967295"));
}

TEST(VmConfigTest, NodesShareAllTheMemory) {
  VmConfig config = WithNodes();
  config.numa[1].memory = 256 << 20;
  EXPECT_THAT(ErrorOf(config), HasSubstr("268435456 bytes of --memory"));
  config.numa[1].memory = 1 << 30;
  EXPECT_THAT(ErrorOf(config), HasSubstr("more memory than --memory"));
  // A sum that wraps around to the right value.
  config.numa[0].memory = UINT64_MAX - 4095;
  config.numa[1].memory = (1 << 30) + 4096;
  EXPECT_THAT(ErrorOf(config), HasSubstr("more memory than --memory"));
}

TEST(VmConfigTest, DistancesAreCompleteAndInRange) {
  VmConfig config = WithNodes();
  config.numa[0].distances = {10, 11};
  config.numa[1].distances = {254, 10};
  EXPECT_TRUE(config.Validate().ok());
  for (const std::vector<uint8_t>& wrong : {std::vector<uint8_t>{10},
                                            {10, 10},
                                            {11, 20},
                                            {10, 9},
                                            {10, 255},
                                            {10, 20, 20}}) {
    config.numa[0].distances = wrong;
    EXPECT_THAT(ErrorOf(config), StartsWith("--numa"));
  }
}

TEST(VmConfigTest, ASerialHasTwentyBytes) {
  VmConfig config = Valid();
  config.disks.push_back(Disk("a"));
  config.disks[0].serial = std::string(20, 'x');
  EXPECT_TRUE(config.Validate().ok());
  config.disks[0].serial += 'x';
  EXPECT_THAT(ErrorOf(config), StartsWith("--disk"));
}

TEST(VmConfigTest, ContextIdsBelowThreeAndTheLastAreTaken) {
  VmConfig config = Valid();
  for (const uint64_t cid : {0ull, 2ull, 0xffffffffull, 0x100000003ull}) {
    config.vsock_cid = cid;
    EXPECT_THAT(ErrorOf(config), StartsWith("--vsock")) << cid;
  }
}

TEST(VmConfigTest, DevicesWithoutAnIdDoNotCollide) {
  VmConfig config = Valid();
  config.disks = {Disk("a"), Disk("b")};
  EXPECT_TRUE(config.Validate().ok());
}

TEST(VmConfigTest, AHangNeedsATimeout) {
  VmConfig config = Valid();
  config.on_hang.report = true;
  EXPECT_THAT(ErrorOf(config), StartsWith("--on-hang"));
  config.timeout = 1s;
  EXPECT_TRUE(config.Validate().ok());
}

TEST(VmConfigTest, APanicNeedsNoTimeoutToBeDumped) {
  VmConfig config = Valid();
  config.on_hang.dump_path = "core";
  EXPECT_TRUE(config.Validate().ok());
  config.on_hang.report = true;
  EXPECT_TRUE(config.Validate().ok());
  config.on_hang.gdb = true;
  EXPECT_THAT(ErrorOf(config), StartsWith("--on-hang: gdb"));
  config.gdb.emplace();
  EXPECT_TRUE(config.Validate().ok());
}

}  // namespace
}  // namespace kvmlet
