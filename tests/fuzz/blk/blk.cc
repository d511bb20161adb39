// SPDX-License-Identifier: Apache-2.0
// Bytes become what a driver may do to the block device: sound requests with
// hostile fields, raw descriptors and ring indices, configuration writes,
// resets. The disk is a memfd that must keep its size whatever happens.
#include "devices/virtio/blk.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "devices/backend/block_file.h"
#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {
namespace {

constexpr uint64_t kDiskBytes = 64 * kBlkSectorBytes;
constexpr uint16_t kRingSize = 16;
constexpr int kMaxActions = 64;

// The input, taken from its start; zeroes when it ran out.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(data, size) {}
  bool empty() const { return bytes_.empty(); }
  template <typename T>
  T Take() {
    T value{};
    const size_t part = std::min(sizeof(T), bytes_.size());
    std::memcpy(&value, bytes_.data(), part);
    bytes_ = bytes_.subspan(part);
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class SilentEvents : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t) override {}
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view) override {}
  int QueueCallFd(uint16_t) override { return -1; }
};

class Harness {
 public:
  explicit Harness(Input& input) : input_(input) {
    CHECK_EQ(::ftruncate(image_.get(), kDiskBytes), 0);
    const uint8_t flags = input_.Take<uint8_t>();
    DiskOptions options;
    options.path = "fuzz.img";
    options.serial = "fuzz";
    options.synchronous = true;
    options.read_only = (flags & 1) != 0;
    auto backend = BlockFile::Create(UniqueFd(::dup(image_.get())), options);
    CHECK(backend.ok());
    auto device =
        BlkDevice::Create(options, *std::move(backend), {loop_.get()});
    CHECK(device.ok());
    device_ = *std::move(device);
    CHECK(loop_
              ->Add(stop_.get(), EPOLLIN,
                    [this](uint32_t) {
                      stop_.Consume();
                      loop_->Stop();
                    })
              .ok());
    Activate();
  }
  ~Harness() {
    device_.reset();
    struct stat st {};
    CHECK_EQ(::fstat(image_.get(), &st), 0);
    CHECK_EQ(static_cast<uint64_t>(st.st_size), kDiskBytes);
  }

  void Act() {
    switch (input_.Take<uint8_t>() % 8) {
      case 0:
      case 1:
        return Request();
      case 2:
        return Ranges();
      case 3:
        return driver_->SetDescriptor(
            input_.Take<uint8_t>() % kRingSize,
            {input_.Take<uint32_t>(), input_.Take<uint32_t>(),
             input_.Take<uint8_t>(), input_.Take<uint8_t>()});
      case 4:
        return driver_->MakeAvailable(input_.Take<uint8_t>());
      case 5:
        return driver_->SetAvailIndex(input_.Take<uint16_t>());
      case 6: {
        const auto value = input_.Take<uint32_t>();
        return device_->WriteConfig(input_.Take<uint8_t>(),
                                    std::as_bytes(std::span(&value, 1)));
      }
      case 7:
        device_->Reset();
        return Activate();
    }
  }

  // Kicks and lets the loop serve what is there.
  void Serve() {
    kick_.Signal();
    stop_.Signal();
    loop_->Run();
  }

 private:
  void Activate() {
    const uint64_t features =
        kFeatureVersion1 | kFeatureIndirectDesc |
        (input_.Take<uint16_t>() & device_->device_features());
    driver_.emplace(memory_, kRingSize, Gpa{0x4000}, 0x20000);
    ActiveState state{.memory = &memory_,
                      .events = &events_,
                      .features = features,
                      .queues = {}};
    state.queues.push_back(
        {.index = 0, .queue = driver_->CreateQueue(features), .kick = &kick_});
    CHECK(device_->Activate(std::move(state)).ok());
  }

  void Request() {
    const auto shape = input_.Take<uint8_t>();
    const uint64_t sector = (shape & 1) != 0 ? input_.Take<uint64_t>()
                                             : input_.Take<uint8_t>() % 80u;
    driver_->Readable(BlkHeader{input_.Take<uint8_t>() % 16u, 0, sector});
    const unsigned scale = (shape & 2) != 0 ? 512 : 1;
    for (int i = 0; i < (shape >> 2 & 3); ++i) {
      driver_->ReadableAt(Gpa{0x8000u + input_.Take<uint8_t>()},
                          input_.Take<uint8_t>() * scale);
    }
    for (int i = 0; i < (shape >> 4 & 3); ++i) {
      driver_->WritableAt(Gpa{0x8000u + 64u * input_.Take<uint8_t>()},
                          input_.Take<uint8_t>() * scale);
    }
    if ((shape & 64) != 0) driver_->Writable(1);
    if ((shape & 128) != 0) driver_->Indirect();
    driver_->Submit();
  }

  void Ranges() {
    const auto shape = input_.Take<uint8_t>();
    driver_->Readable(
        BlkHeader{(shape & 1) != 0 ? kBlkDiscard : kBlkWriteZeroes, 0, 0});
    for (int i = 0; i < (shape >> 1 & 3); ++i) {
      const bool wild = (shape & 8) != 0;
      driver_->Readable(BlkRange{
          wild ? input_.Take<uint64_t>() : input_.Take<uint8_t>() % 80u,
          wild ? input_.Take<uint32_t>() : input_.Take<uint8_t>() % 80u,
          input_.Take<uint8_t>() % 4u});
    }
    driver_->Writable(1).Submit();
  }

  Input& input_;
  GuestMemory memory_ = fakes::MakeMemory(256 << 10);
  std::optional<fakes::FakeDriver> driver_;
  EventFd kick_ = *EventFd::Create();
  EventFd stop_ = *EventFd::Create();
  SilentEvents events_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  UniqueFd image_{::memfd_create("fuzz", MFD_CLOEXEC)};
  std::unique_ptr<BlkDevice> device_;
};

}  // namespace
}  // namespace kvmlet::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FLAGS_minloglevel = google::GLOG_FATAL;
  kvmlet::virtio::Input input(data, size);
  kvmlet::virtio::Harness harness(input);
  for (int i = 0; i < kvmlet::virtio::kMaxActions && !input.empty(); ++i) {
    harness.Act();
    if (i % 3 == 2) harness.Serve();
  }
  harness.Serve();
  return 0;
}
