// SPDX-License-Identifier: Apache-2.0
// What memory devices cost and what they are refused for, before any driver
// of a guest has asked for a block.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

class MemoryDevicesTest : public KvmletTest {
 protected:
  // Resident bytes of a monitor whose guest is at work.
  uint64_t Resident(const KvmletProcess::Args& more) {
    KvmletProcess::Args args = {
        "--kernel", Kernel(GuestCode().Print("here").HaltForEver())};
    args.insert(args.end(), more.begin(), more.end());
    const auto process = Start(args);
    EXPECT_TRUE(process->WaitForOutput("here")) << process->err();
    std::ifstream file(absl::StrCat("/proc/", process->pid(), "/statm"));
    uint64_t all = 0;
    uint64_t resident = 0;
    file >> all >> resident;
    EXPECT_GT(resident, 0u);
    return resident * 4096;
  }
  Outcome RunWith(const std::string& device) {
    return Run({"--kernel", Payload("exit"), "--virtio-mem", device});
  }
  // Many hosts' processors address no more than a terabyte in all.
  std::string LargeMaximum() {
    return RunWith("max=1T").status == 65 ? "max=256G" : "max=1T";
  }
  static uint64_t MappingLimit() {
    uint64_t limit = 0;
    std::ifstream("/proc/sys/vm/max_map_count") >> limit;
    return limit;
  }
};

TEST_F(MemoryDevicesTest, ALargeMaximumCostsNextToNothing) {
  for (const std::string more : {"", ",shared"}) {
    const std::string device = LargeMaximum() + more;
    const uint64_t without = Resident({});
    const uint64_t with = Resident({"--virtio-mem", device});
    EXPECT_LT(with, without + (8 << 20)) << device;
  }
}

// Every other block of shared memory unplugged is a mapping each, and the
// kernel allows a process only so many: a guest must not use them up.
TEST_F(MemoryDevicesTest, TooManyBlocksOfSharedMemoryAreRefused) {
  const uint64_t most = MappingLimit() / 2;
  if (most * (2 << 20) >= 256ull << 30) {
    GTEST_SKIP() << "this host allows mappings enough for 256 GiB";
  }
  const Outcome refused = RunWith("max=256G,shared,block=2M");
  EXPECT_EQ(refused.status, 65);
  ExpectOneLine(refused.err, "max_map_count");
  // One that may choose takes larger ones; private memory needs none.
  EXPECT_NE(RunWith("max=256G,shared").status, 65);
  EXPECT_NE(RunWith("max=256G,block=2M").status, 65);
  // The budget is one for all of them.
  const uint64_t size = (most * (2 << 20)) >> 30 << 30;
  const std::string one = absl::StrCat("max=", size, ",shared,block=2M");
  EXPECT_NE(RunWith(one).status, 65);
  EXPECT_EQ(Run({"--kernel", Payload("exit"), "--virtio-mem", one,
                 "--virtio-mem", one})
                .status,
            65);
}

}  // namespace
}  // namespace kvmlet
