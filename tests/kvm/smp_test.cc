// SPDX-License-Identifier: Apache-2.0
// Guests that start all of their processors with INIT and SIPI.
#include <gtest/gtest.h>

#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using SmpTest = KvmletTest;

TEST_F(SmpTest, EveryProcessorStarts) {
  for (const int count : {1, 2, 4}) {
    const std::string cpus = std::to_string(count);
    const Outcome outcome = Run({"--kernel", Payload("smp"), "--cpus", cpus,
                                 "--append", "cpus=" + cpus});
    EXPECT_EQ(outcome.status, count) << outcome.err;
  }
}

TEST_F(SmpTest, ProcessorsStartWhateverTheirApicIds) {
  const Outcome outcome = Run({"--kernel", Payload("smp"), "--cpus",
                               "6,sockets=2,cores=3", "--append", "cpus=6"});
  EXPECT_EQ(outcome.status, 6) << outcome.err;
}

TEST_F(SmpTest, SixtyFourProcessorsStart) {
  const Outcome outcome =
      Run({"--kernel", Payload("smp"), "--cpus", "64", "--append", "cpus=64"},
          seconds(110));
  EXPECT_EQ(outcome.verdict["code"], 64) << outcome.err;
  EXPECT_EQ(outcome.status, 63);
}

TEST_F(SmpTest, ManyHaltedProcessorsEndTogether) {
  EXPECT_EQ(
      Run({"--kernel", Payload("hang"), "--cpus", "64", "--timeout", "1s"},
          seconds(110))
          .status,
      124);
}

}  // namespace
}  // namespace kvmlet
