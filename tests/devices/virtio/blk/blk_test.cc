// SPDX-License-Identifier: Apache-2.0
// The block device towards its transport: features, configuration space,
// activation, reset and resize.
#include "devices/virtio/blk.h"

#include <thread>

#include "tests/devices/virtio/blk/blk_fixture.h"
#include "vmm/event/io_thread.h"

namespace kvmlet::virtio {
namespace {

using BlkTest = BlkFixture;

// A disk that finishes nothing by itself.
class StuckQueue : public BlockQueue {
 public:
  StuckQueue(int* started, bool* destroyed)
      : started_(started), destroyed_(destroyed) {}
  ~StuckQueue() override { *destroyed_ = true; }
  void Start(BlockRequest&) override { ++*started_; }
  absl::Status Commit() override { return commit; }
  BlockRequest* NextDone() override { return nullptr; }
  bool MayHaveDone() const override { return false; }
  int done_fd() const override { return -1; }

  absl::Status commit;

 private:
  int* started_;
  bool* destroyed_;
};

class StuckDisk : public BlockBackend {
 public:
  bool read_only() const override { return false; }
  const BlockGeometry& geometry() const override { return facts; }
  absl::StatusOr<uint64_t> ReadSize() const override { return facts.size; }
  absl::StatusOr<std::unique_ptr<BlockQueue>> NewQueue(uint16_t) override {
    if (!queue_error.ok()) return queue_error;
    auto queue = std::make_unique<StuckQueue>(&started, &destroyed);
    queue->commit = commit;
    return queue;
  }

  int started = 0;
  bool destroyed = false;
  absl::Status commit;
  absl::Status queue_error;
  BlockGeometry facts{.size = kDiskSectors * kBlkSectorBytes};
};

TEST_F(BlkTest, OffersFlushDiscardAndWriteZeroes) {
  CreateDevice();
  const uint64_t expected =
      kBlkFeatureFlush | kBlkFeatureDiscard | kBlkFeatureWriteZeroes;
  EXPECT_EQ(device_->device_features() & expected, expected);
  EXPECT_EQ(device_->device_features() & kBlkFeatureReadOnly, 0u);
}

TEST_F(BlkTest, ReadOnlyDiskOffersNoChange) {
  options_.read_only = true;
  CreateDevice();
  EXPECT_EQ(device_->device_features() &
                (kBlkFeatureDiscard | kBlkFeatureWriteZeroes),
            0u);
  EXPECT_NE(device_->device_features() & kBlkFeatureReadOnly, 0u);
}

TEST_F(BlkTest, MultiQueueOnlyWithSeveralQueues) {
  options_.queues = 3;
  CreateDevice();
  EXPECT_NE(device_->device_features() & kBlkFeatureMultiQueue, 0u);
  EXPECT_EQ(device_->queue_sizes().size(), 3u);
  EXPECT_EQ(ReadConfig().queue_count, 3);
}

TEST_F(BlkTest, ZeroQueuesMeansOne) {
  options_.queues = 0;
  CreateDevice();
  EXPECT_EQ(device_->queue_sizes().size(), 1u);
}

TEST_F(BlkTest, ConfigTellsCapacityAndBlockSize) {
  CreateDevice();
  const BlkConfig config = ReadConfig();
  EXPECT_EQ(config.capacity, kDiskSectors);
  EXPECT_EQ(config.block_size, 512u);
  EXPECT_EQ(config.seg_max, device_->queue_sizes()[0] - 2u);
  EXPECT_EQ(config.max_discard_segments, kBlkMaxRanges);
}

TEST_F(BlkTest, ConfigReadBeyondTheEndIsZero) {
  CreateDevice();
  std::vector<std::byte> bytes(8, std::byte{0xff});
  device_->ReadConfig(sizeof(BlkConfig) - 4, bytes);
  EXPECT_EQ(bytes, std::vector<std::byte>(8));
  bytes.assign(8, std::byte{0xff});
  device_->ReadConfig(UINT32_MAX, bytes);
  EXPECT_EQ(bytes, std::vector<std::byte>(8));
}

TEST_F(BlkTest, WritebackCanBeWrittenInAWiderAccess) {
  CreateDevice();
  const std::vector<std::byte> bytes(4, std::byte{0});
  device_->WriteConfig(30, bytes);
  EXPECT_EQ(ReadConfig().writeback, 0);
}

TEST_F(BlkTest, OtherConfigFieldsCannotBeWritten) {
  CreateDevice();
  const std::vector<std::byte> bytes(4, std::byte{0});
  device_->WriteConfig(0, bytes);
  device_->WriteConfig(28, bytes);
  device_->WriteConfig(33, bytes);
  EXPECT_EQ(ReadConfig().capacity, kDiskSectors);
  EXPECT_EQ(ReadConfig().writeback, 1);
}

TEST_F(BlkTest, ResetRestoresWriteback) {
  CreateDevice();
  device_->WriteConfig(32, std::vector<std::byte>(1));
  device_->Reset();
  EXPECT_EQ(ReadConfig().writeback, 1);
}

TEST_F(BlkTest, WithoutFlushTheModeIsWriteThrough) {
  Activate(kFeatureVersion1 | kBlkFeatureConfigWce);
  EXPECT_EQ(ReadConfig().writeback, 0);
}

TEST_F(BlkTest, LongSerialIsRefused) {
  options_.serial = std::string(21, 's');
  auto backend = BlockFile::Create(UniqueFd(::dup(image_.get())), options_);
  ASSERT_TRUE(backend.ok());
  const auto device =
      BlkDevice::Create(options_, *std::move(backend), {loop_.get()});
  EXPECT_FALSE(device.ok());
}

TEST_F(BlkTest, ResizeTellsTheDriver) {
  Activate();
  ASSERT_EQ(::ftruncate(image_.get(), 128 * kBlkSectorBytes), 0);
  ASSERT_TRUE(device_->Resize().ok());
  EXPECT_EQ(events_.config_changes, 1);
  EXPECT_EQ(ReadConfig().capacity, 128u);
}

TEST_F(BlkTest, ResizeToTheSameSizeIsSilent) {
  Activate();
  ASSERT_TRUE(device_->Resize().ok());
  EXPECT_EQ(events_.config_changes, 0);
}

TEST_F(BlkTest, ResizeToAnOddSizeIsRefused) {
  Activate();
  ASSERT_EQ(::ftruncate(image_.get(), 1000), 0);
  EXPECT_FALSE(device_->Resize().ok());
  EXPECT_EQ(ReadConfig().capacity, kDiskSectors);
}

TEST_F(BlkTest, ResizeBeforeActivationIsSilent) {
  CreateDevice();
  ASSERT_EQ(::ftruncate(image_.get(), 128 * kBlkSectorBytes), 0);
  ASSERT_TRUE(device_->Resize().ok());
  EXPECT_EQ(events_.config_changes, 0);
}

TEST_F(BlkTest, ReadsReachTheNewEndAfterResize) {
  Activate();
  ASSERT_EQ(::ftruncate(image_.get(), 128 * kBlkSectorBytes), 0);
  ASSERT_TRUE(device_->Resize().ok());
  EXPECT_EQ(StatusOf(Read(127, 512)), kBlkOk);
}

TEST_F(BlkTest, ResetWithoutActivation) {
  CreateDevice();
  device_->Reset();
  device_->Reset();
}

TEST_F(BlkTest, ActivationWithoutQueuesIsFine) {
  CreateDevice();
  ActiveState state{
      .memory = &memory_, .events = &events_, .features = 0, .queues = {}};
  state.queues.push_back({.index = 0, .queue = {}, .kick = &kick_});
  EXPECT_TRUE(device_->Activate(std::move(state)).ok());
}

TEST_F(BlkTest, ServesAgainAfterReset) {
  Activate();
  EXPECT_EQ(StatusOf(Read(0, 512)), kBlkOk);
  device_->Reset();
  driver_ = fakes::FakeDriver(memory_, 16, Gpa{0x90000}, 0x60000);
  expected_used_ = 0;
  Activate();
  EXPECT_EQ(StatusOf(Read(1, 512)), kBlkOk);
}

TEST_F(BlkTest, ResetInTheMiddleOfIoReturnsNothing) {
  auto disk = std::make_unique<StuckDisk>();
  StuckDisk& stuck = *disk;
  CreateDevice(std::move(disk));
  Activate();
  Read(0, 512);
  kick_.Signal();
  ASSERT_TRUE(RunUntil([&] { return stuck.started == 1; }));
  device_->Reset();
  EXPECT_TRUE(stuck.destroyed);
  EXPECT_EQ(driver_.used_index(), 0);
}

TEST_F(BlkTest, ResetFromTheLoopThread) {
  Activate();
  bool done = false;
  loop_->Post([&] {
    device_->Reset();
    done = true;
  });
  EXPECT_TRUE(RunUntil([&] { return done; }));
}

TEST_F(BlkTest, ResetFromAnotherThreadThanTheLoop) {
  auto thread = IoThread::Create("blk-test");
  ASSERT_TRUE(thread.ok());
  (*thread)->Start();
  auto backend = BlockFile::Create(UniqueFd(::dup(image_.get())), options_);
  ASSERT_TRUE(backend.ok());
  auto device =
      BlkDevice::Create(options_, *std::move(backend), {&(*thread)->loop()});
  ASSERT_TRUE(device.ok());
  device_ = *std::move(device);
  Activate();
  const auto request = Read(0, 512);
  kick_.Signal();
  while (driver_.used_index() == 0) std::this_thread::yield();
  device_->Reset();
  EXPECT_EQ(request.StatusByte(), kBlkOk);
  device_.reset();
}

TEST_F(BlkTest, DiskOf4KBlocks) {
  auto disk = std::make_unique<StuckDisk>();
  disk->facts.logical_block = 4096;
  disk->facts.physical_block = 16384;
  disk->facts.optimal_io = 65536;
  CreateDevice(std::move(disk));
  const BlkConfig config = ReadConfig();
  EXPECT_EQ(config.block_size, 4096u);
  EXPECT_EQ(config.physical_block_exponent, 2);
  EXPECT_EQ(config.optimal_io_blocks, 16u);
  EXPECT_EQ(config.capacity, kDiskSectors);
}

TEST_F(BlkTest, RequestsBelowTheDisksAlignmentAreRefused) {
  auto disk = std::make_unique<StuckDisk>();
  StuckDisk& stuck = *disk;
  disk->facts.alignment = 4096;
  CreateDevice(std::move(disk));
  Activate();
  EXPECT_EQ(StatusOf(Read(1, 4096)), kBlkIoError);
  EXPECT_EQ(StatusOf(Read(8, 512)), kBlkIoError);
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {{8, 7, 0}})), kBlkIoError);
  EXPECT_EQ(stuck.started, 0);
}

TEST_F(BlkTest, HostRefusalAtActivationIsReported) {
  auto disk = std::make_unique<StuckDisk>();
  disk->queue_error = absl::ResourceExhaustedError("no memory");
  CreateDevice(std::move(disk));
  ActiveState state{
      .memory = &memory_, .events = &events_, .features = 0, .queues = {}};
  state.queues.push_back(
      {.index = 0, .queue = driver_.CreateQueue(), .kick = &kick_});
  EXPECT_FALSE(device_->Activate(std::move(state)).ok());
  device_->Reset();
}

TEST_F(BlkTest, HostRefusalOfABatchAsksForReset) {
  auto disk = std::make_unique<StuckDisk>();
  disk->commit = absl::InternalError("io_uring_enter: broken");
  CreateDevice(std::move(disk));
  Activate();
  Read(0, 512);
  kick_.Signal();
  EXPECT_TRUE(RunUntil([this] { return events_.resets_asked == 1; }));
  EXPECT_EQ(events_.reason, "io_uring_enter: broken");
}

}  // namespace
}  // namespace kvmlet::virtio
