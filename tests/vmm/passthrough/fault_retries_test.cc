// SPDX-License-Identifier: Apache-2.0
#include "vmm/fault_retries.h"

#include <gtest/gtest.h>

namespace kvmlet {
namespace {

TEST(FaultRetriesTest, NothingClearedNothingToRetry) {
  FaultRetries retries;
  EXPECT_FALSE(retries.MayRetry(0));
}

TEST(FaultRetriesTest, EveryVcpuThatWasInItsWayTriesOnce) {
  FaultRetries retries;
  retries.Cleared();
  EXPECT_TRUE(retries.MayRetry(0));
  EXPECT_TRUE(retries.MayRetry(1)) << "it faulted at the same time";
  EXPECT_FALSE(retries.MayRetry(0));
  EXPECT_FALSE(retries.MayRetry(1));
  retries.Cleared();
  EXPECT_TRUE(retries.MayRetry(1));
}

}  // namespace
}  // namespace kvmlet
