// SPDX-License-Identifier: Apache-2.0
// What the block device's tests share: a device in front of a memfd, the
// driver of its first queue, and an event loop that the test runs itself.
// Not thread-safe.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_BLK_BLK_FIXTURE_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_BLK_BLK_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "devices/backend/block_file.h"
#include "devices/virtio/blk.h"
#include "tests/fakes/fake_driver.h"
#include "vmm/base/event_fd.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class CountingEvents : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t) override { ++notifications; }
  void NotifyConfig() override { ++config_changes; }
  void SetNeedsReset(std::string_view why) override {
    reason = std::string(why);
    ++resets_asked;
  }
  int QueueCallFd(uint16_t) override { return -1; }

  std::atomic<int> notifications{0};
  std::atomic<int> config_changes{0};
  std::atomic<int> resets_asked{0};
  std::string reason;
};

inline constexpr uint64_t kDiskSectors = 64;
inline constexpr uint64_t kAllBlkFeatures =
    kFeatureVersion1 | kFeatureEventIdx | kFeatureIndirectDesc |
    kBlkFeatureFlush | kBlkFeatureDiscard | kBlkFeatureWriteZeroes |
    kBlkFeatureConfigWce;

class BlkFixture : public testing::Test {
 protected:
  void SetUp() override {
    options_.path = "test.img";
    options_.id = "disk0";
    options_.serial = "SERIAL-42";
    options_.synchronous = true;
    image_ = UniqueFd(::memfd_create("disk", MFD_CLOEXEC));
    ASSERT_TRUE(image_.ok());
    ASSERT_EQ(::ftruncate(image_.get(), kDiskSectors * kBlkSectorBytes), 0);
  }
  void TearDown() override { device_.reset(); }

  void CreateDevice() {
    auto backend = BlockFile::Create(UniqueFd(::dup(image_.get())), options_);
    ASSERT_TRUE(backend.ok()) << backend.status();
    CreateDevice(*std::move(backend));
  }
  void CreateDevice(std::unique_ptr<BlockBackend> backend) {
    auto device =
        BlkDevice::Create(options_, std::move(backend), {loop_.get()});
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
  }
  void Activate(uint64_t features = kAllBlkFeatures) {
    if (device_ == nullptr) CreateDevice();
    ActiveState state{.memory = &memory_,
                      .events = &events_,
                      .features = features,
                      .queues = {}};
    state.queues.push_back(
        {.index = 0, .queue = driver_.CreateQueue(features), .kick = &kick_});
    ASSERT_TRUE(device_->Activate(std::move(state)).ok());
  }

  // Runs the loop until `done`, at most ten seconds.
  bool RunUntil(const std::function<bool()>& done) {
    const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(10);
    std::function<void()> check = [&] {
      if (done() || EventLoop::Clock::now() > deadline) {
        loop_->Stop();
      } else {
        loop_->RunAfter(std::chrono::milliseconds(1), check);
      }
    };
    loop_->RunAfter({}, check);
    loop_->Run();
    return done();
  }
  // Kicks, and waits until `count` more requests came back.
  bool Serve(uint16_t count = 1) {
    expected_used_ = static_cast<uint16_t>(expected_used_ + count);
    kick_.Signal();
    return RunUntil([this] {
      return driver_.used_index() == expected_used_ || events_.resets_asked > 0;
    });
  }

  fakes::FakeRequest Request(uint32_t type, uint64_t sector,
                             std::string_view data) {
    driver_.Readable(BlkHeader{type, 0, sector});
    if (!data.empty()) driver_.ReadableText(data);
    return driver_.Writable(1).Submit();
  }
  fakes::FakeRequest Read(uint64_t sector, uint32_t bytes) {
    return driver_.Readable(BlkHeader{kBlkIn, 0, sector})
        .Writable(bytes)
        .Writable(1)
        .Submit();
  }
  fakes::FakeRequest Ranges(uint32_t type,
                            const std::vector<BlkRange>& ranges) {
    return driver_.Readable(BlkHeader{type, 0, 0})
        .Readable(std::as_bytes(std::span(ranges)))
        .Writable(1)
        .Submit();
  }
  // The status of one request, served.
  uint8_t StatusOf(const fakes::FakeRequest& request) {
    EXPECT_TRUE(Serve());
    return request.StatusByte();
  }

  void FillImage(char byte) {
    const std::string bytes(kDiskSectors * kBlkSectorBytes, byte);
    ASSERT_EQ(::pwrite(image_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string ImageBytes(uint64_t sector, size_t length) {
    std::string bytes(length, '?');
    const ssize_t n = ::pread(image_.get(), bytes.data(), length,
                              static_cast<off_t>(sector * kBlkSectorBytes));
    bytes.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return bytes;
  }
  BlkConfig ReadConfig() {
    BlkConfig config;
    device_->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
    return config;
  }

  GuestMemory memory_ = fakes::MakeMemory();
  fakes::FakeDriver driver_{memory_, /*queue_size=*/16};
  EventFd kick_ = *EventFd::Create();
  CountingEvents events_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  DiskOptions options_;
  UniqueFd image_;
  std::unique_ptr<BlkDevice> device_;
  uint16_t expected_used_ = 0;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_BLK_BLK_FIXTURE_H_
