// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/pmem.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <span>

#include "tests/devices/virtio/pmem/pmem_harness.h"

namespace kvmlet::virtio {
namespace {

class PmemTest : public testing::Test {
 protected:
  void Activate(bool with_disk = true) {
    pmem_ = std::make_unique<PmemHarness>(with_disk);
    ASSERT_TRUE(pmem_->Activate().ok());
    pmem_->Turn();
  }
  std::unique_ptr<PmemHarness> pmem_;
};

TEST_F(PmemTest, ConfigurationTellsWhereTheMemoryLies) {
  Activate();
  PmemConfig config;
  pmem_->device.ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
  EXPECT_EQ(config.start, 1ull << 32);
  EXPECT_EQ(config.size, 4u << 20);
  const uint64_t zero = 0;
  pmem_->device.WriteConfig(0, std::as_bytes(std::span(&zero, 1)));
  uint32_t high = 0;
  pmem_->device.ReadConfig(4, std::as_writable_bytes(std::span(&high, 1)));
  EXPECT_EQ(high, 1u);
}

TEST_F(PmemTest, AFlushIsAnsweredWhenTheDiskHasDoneIt) {
  Activate();
  const auto request = pmem_->Flush();
  pmem_->Kick();
  EXPECT_EQ(pmem_->disk.flushes, 1);
  EXPECT_EQ(pmem_->driver.used_index(), 0);
  pmem_->Finish();
  EXPECT_EQ(pmem_->driver.PopUsed()->len, 4u);
  EXPECT_EQ(request.WritableAs<uint32_t>(0), kPmemOk);
  EXPECT_EQ(pmem_->events.notifications, 1);
}

// One that comes while a flush runs may have written after it began.
TEST_F(PmemTest, LaterFlushesShareTheNextOne) {
  Activate();
  pmem_->Flush();
  pmem_->Kick();
  for (int i = 0; i < 5; ++i) pmem_->Flush();
  pmem_->Kick();
  EXPECT_EQ(pmem_->disk.flushes, 1);
  pmem_->Finish();
  EXPECT_EQ(pmem_->driver.used_index(), 1);
  EXPECT_EQ(pmem_->disk.flushes, 2);
  pmem_->Finish();
  EXPECT_EQ(pmem_->driver.used_index(), 6);
  EXPECT_EQ(pmem_->disk.flushes, 2);
}

TEST_F(PmemTest, TheHostsErrorIsTheDrivers) {
  Activate();
  const auto request = pmem_->Flush();
  pmem_->Kick();
  pmem_->Finish(EIO);
  EXPECT_EQ(request.WritableAs<uint32_t>(0), kPmemError);
  EXPECT_EQ(pmem_->events.resets_asked, 0);
  const auto next = pmem_->Flush();
  pmem_->Kick();
  pmem_->Finish();
  EXPECT_EQ(next.WritableAs<uint32_t>(0), kPmemOk);
}

TEST_F(PmemTest, ADiskThatFailsForGoodAsksForReset) {
  Activate();
  pmem_->disk.commit = absl::InternalError("the ring is gone");
  const auto request = pmem_->Flush();
  pmem_->Kick();
  EXPECT_EQ(pmem_->events.resets_asked, 1);
  EXPECT_EQ(pmem_->driver.used_index(), 0);
  pmem_->Kick();
  EXPECT_EQ(pmem_->events.resets_asked, 1);
}

TEST_F(PmemTest, WithoutADiskThereIsNothingToFlush) {
  Activate(/*with_disk=*/false);
  const auto request = pmem_->Flush();
  pmem_->Kick();
  EXPECT_EQ(request.WritableAs<uint32_t>(0), kPmemOk);
}

TEST_F(PmemTest, UnknownAndMalformedRequests) {
  Activate();
  const auto unknown = pmem_->driver.Readable(uint32_t{7}).Writable(4).Submit();
  pmem_->driver.Readable(uint16_t{0}).Writable(4).Submit();
  pmem_->driver.Readable(kPmemRequestFlush).Writable(3).Submit();
  pmem_->driver.Readable(kPmemRequestFlush).Submit();
  pmem_->driver.Writable(8).Submit();
  pmem_->Kick();
  EXPECT_EQ(pmem_->driver.used_index(), 5);
  EXPECT_EQ(pmem_->disk.flushes, 0);
  EXPECT_EQ(unknown.WritableAs<uint32_t>(0), kPmemError);
  EXPECT_EQ(pmem_->driver.PopUsed()->len, 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(pmem_->driver.PopUsed()->len, 0u);
}

TEST_F(PmemTest, PartsOfARequestMayLieAnywhere) {
  Activate();
  const auto request = pmem_->driver.Readable(uint16_t{0})
                           .Readable(uint16_t{0})
                           .Writable(1)
                           .Writable(7)
                           .Submit();
  pmem_->Kick();
  pmem_->Finish();
  EXPECT_EQ(pmem_->driver.PopUsed()->len, 4u);
  EXPECT_EQ(request.WritableBytes(0)[0], std::byte{0});
  EXPECT_EQ(request.WritableBytes(1)[2], std::byte{0});
  EXPECT_EQ(request.WritableBytes(1)[3], std::byte{0xa5});
}

TEST_F(PmemTest, BuffersThatAreUsedTwiceAreBounded) {
  Activate();
  const auto request = pmem_->Flush();
  for (int i = 0; i < 63; ++i) pmem_->driver.MakeAvailable(request.head());
  pmem_->Kick();
  for (int i = 0; i < 63; ++i) pmem_->driver.MakeAvailable(request.head());
  pmem_->Kick();
  EXPECT_LE(pmem_->disk.flushes, 1);
  pmem_->device.Reset();
}

TEST_F(PmemTest, AnIndexJumpAsksForResetOnce) {
  Activate();
  pmem_->driver.SetAvailIndex(5000);
  pmem_->Kick();
  pmem_->Kick();
  EXPECT_EQ(pmem_->events.resets_asked, 1);
}

TEST_F(PmemTest, ResetWhileAFlushRuns) {
  Activate();
  pmem_->Flush();
  pmem_->Kick();
  pmem_->device.Reset();
  EXPECT_TRUE(pmem_->disk.running.empty());
  pmem_->Kick();
  EXPECT_EQ(pmem_->driver.used_index(), 0);
  pmem_->device.Reset();
}

}  // namespace
}  // namespace kvmlet::virtio
