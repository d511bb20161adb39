// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "arch/probe.h"

namespace kvmlet::arch {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

class ProbeKvmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!kvm_.ok()) GTEST_SKIP() << kvm_.status();
  }
  absl::StatusOr<KvmSystem> kvm_ = KvmSystem::Open();
};

TEST_F(ProbeKvmTest, MeasuresThisHost) {
  const auto speed = GuestInstructionsPerSecond(*kvm_, 1000ms);
  ASSERT_TRUE(speed.ok()) << speed.status();
  EXPECT_GT(*speed, 1e5);
}

TEST_F(ProbeKvmTest, KeepsToItsTime) {
  const steady_clock::time_point start = steady_clock::now();
  const auto speed = GuestInstructionsPerSecond(*kvm_, 1ms);
  EXPECT_TRUE(speed.ok()) << speed.status();
  EXPECT_LT(steady_clock::now() - start, 5s);
}

TEST_F(ProbeKvmTest, CanBeRepeated) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(GuestInstructionsPerSecond(*kvm_, 10ms).ok());
  }
}

}  // namespace
}  // namespace kvmlet::arch
