// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/host_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "vmm/base/exit_status.h"
#include "vmm/base/mapped_region.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {
namespace {

constexpr uint64_t kPage = 4096;

// The policy of the page there; -1 where the kernel knows no NUMA.
int PolicyAt(const std::byte* at) {
  int mode = -1;
  std::array<unsigned long, 16> nodes{};
  if (::syscall(SYS_get_mempolicy, &mode, nodes.data(), 8 * sizeof(nodes), at,
                MPOL_F_ADDR) != 0) {
    return -1;
  }
  return mode;
}

TEST(HostNodesTest, BindingConcernsThisRangeOnly) {
  const auto region = MappedRegion::Map(4 * kPage, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_TRUE(region.ok());
  if (PolicyAt(region->data()) < 0) GTEST_SKIP() << "a kernel without NUMA";
  const std::vector<uint32_t> node = {0};
  ASSERT_TRUE(
      BindToHostNodes("--numa", region->data() + kPage, 2 * kPage, node).ok());
  EXPECT_EQ(PolicyAt(region->data()), MPOL_DEFAULT);
  EXPECT_EQ(PolicyAt(region->data() + kPage), MPOL_BIND);
  EXPECT_EQ(PolicyAt(region->data() + 2 * kPage), MPOL_BIND);
  EXPECT_EQ(PolicyAt(region->data() + 3 * kPage), MPOL_DEFAULT);
}

TEST(HostNodesTest, ANodeThatTheHostLacksIsNamed) {
  const auto region = MappedRegion::Map(kPage, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_TRUE(region.ok());
  for (const uint32_t wrong : {63u, 64u, 1023u}) {
    const std::vector<uint32_t> nodes = {wrong};
    const absl::Status status =
        BindToHostNodes("--numa host-nodes", region->data(), kPage, nodes);
    EXPECT_EQ(ExitStatusFor(status), 69);
    EXPECT_THAT(std::string(status.message()),
                testing::HasSubstr("--numa host-nodes: the host has not all"));
  }
  EXPECT_TRUE(BindToHostNodes("--numa", region->data(), kPage, {}).ok());
}

// The kernel would leave the other one out without a word.
TEST(HostNodesTest, OneThatIsThereDoesNotExcuseOneThatIsNot) {
  if (::access("/sys/devices/system/node/has_memory", R_OK) != 0) {
    GTEST_SKIP() << "this kernel does not tell its NUMA nodes";
  }
  const auto region = MappedRegion::Map(kPage, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_TRUE(region.ok());
  const std::vector<uint32_t> nodes = {0, 63};
  const absl::Status status =
      BindToHostNodes("--numa host-nodes", region->data(), kPage, nodes);
  EXPECT_EQ(ExitStatusFor(status), 69);
}

TEST(HostNodesTest, NodesTakeTheirSharesOfRamInOrder) {
  const std::array<RamRange, 2> ranges{RamRange{Gpa{0}, 4 * kPage},
                                       RamRange{Gpa{1 << 20}, 4 * kPage}};
  const std::vector<NodeBinding> bindings = {
      {.size = 2 * kPage, .host_nodes = {}},
      {.size = 4 * kPage, .host_nodes = {0}},
      {.size = 2 * kPage, .host_nodes = {}}};
  if (PolicyAt(reinterpret_cast<const std::byte*>(ranges.data())) < 0) {
    GTEST_SKIP() << "a kernel without NUMA";
  }
  const auto memory = GuestMemory::Create(ranges, {}, bindings);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const std::byte* const low = memory->regions()[0].host;
  const std::byte* const high = memory->regions()[1].host;
  EXPECT_EQ(PolicyAt(low + kPage), MPOL_DEFAULT);
  EXPECT_EQ(PolicyAt(low + 2 * kPage), MPOL_BIND);
  EXPECT_EQ(PolicyAt(high + kPage), MPOL_BIND);
  EXPECT_EQ(PolicyAt(high + 2 * kPage), MPOL_DEFAULT);
}

}  // namespace
}  // namespace kvmlet
