// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/topology.h"

#include <gtest/gtest.h>

#include <set>

#include "arch/arch.h"

namespace kvmlet::arch::x86_64 {
namespace {

TEST(TopologyTest, AloneTheCountIsCoresOfOneSocket) {
  const Topology t = ResolveTopology({.count = 6});
  EXPECT_EQ(t.sockets, 1u);
  EXPECT_EQ(t.cores, 6u);
  EXPECT_EQ(t.threads, 1u);
}

TEST(TopologyTest, WhatIsOpenTakesTheRest) {
  EXPECT_EQ(ResolveTopology({.count = 8, .sockets = 2}).cores, 4u);
  EXPECT_EQ(ResolveTopology({.count = 8, .threads = 2}).cores, 4u);
  EXPECT_EQ(ResolveTopology({.count = 8, .cores = 2}).sockets, 4u);
  EXPECT_EQ(ResolveTopology({.count = 8, .cores = 2, .threads = 2}).sockets,
            2u);
}

TEST(TopologyTest, ApicIdsArePackedForPowersOfTwo) {
  const Topology t =
      ResolveTopology({.count = 16, .sockets = 2, .cores = 4, .threads = 2});
  EXPECT_EQ(t.thread_bits(), 1u);
  EXPECT_EQ(t.package_bits(), 3u);
  for (uint32_t i = 0; i < 16; ++i) EXPECT_EQ(t.ApicId(i), i);
}

TEST(TopologyTest, ApicIdsHaveGapsOtherwise) {
  const Topology t = ResolveTopology({.count = 6, .sockets = 2, .cores = 3});
  EXPECT_EQ(t.package_bits(), 2u);
  EXPECT_EQ(t.ApicId(2), 2u);
  EXPECT_EQ(t.ApicId(3), 4u);
  EXPECT_EQ(t.ApicId(5), 6u);
}

TEST(TopologyTest, ApicIdsAreUniqueForEveryTopology) {
  for (uint32_t sockets = 1; sockets <= 5; ++sockets) {
    for (uint32_t cores = 1; cores <= 9; ++cores) {
      for (uint32_t threads = 1; threads <= 3; ++threads) {
        const uint32_t count = sockets * cores * threads;
        const Topology t = ResolveTopology({.count = count,
                                            .sockets = sockets,
                                            .cores = cores,
                                            .threads = threads});
        std::set<uint32_t> ids;
        for (uint32_t i = 0; i < count; ++i) ids.insert(t.ApicId(i));
        EXPECT_EQ(ids.size(), count) << sockets << cores << threads;
      }
    }
  }
}

TEST(TopologyTest, OneOfEverythingNeedsNoBits) {
  const Topology t = ResolveTopology({.count = 1});
  EXPECT_EQ(t.thread_bits(), 0u);
  EXPECT_EQ(t.package_bits(), 0u);
  EXPECT_EQ(t.ApicId(0), 0u);
}

TEST(TopologyTest, TheContractNamesSocketCoreAndThread) {
  const CpuConfig cpus{.count = 12, .sockets = 2, .cores = 3, .threads = 2};
  const VcpuTopology last = TopologyOf(cpus, 11);
  EXPECT_EQ(last.socket, 1u);
  EXPECT_EQ(last.core, 2u);
  EXPECT_EQ(last.thread, 1u);
  EXPECT_EQ(VcpuId(cpus, 11), 13u);  // 1:10:1
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
