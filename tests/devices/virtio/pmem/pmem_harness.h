// SPDX-License-Identifier: Apache-2.0
// A pmem device on a loop of the test's own, with a fake driver before it and
// a disk behind it that flushes when it is told to. Not thread-safe: the loop
// runs in Turn, on the test's thread.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_PMEM_PMEM_HARNESS_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_PMEM_PMEM_HARNESS_H_

#include <glog/logging.h>

#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "devices/virtio/pmem.h"
#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {

// What the disk has to do, and has done.
struct PmemDisk {
  std::vector<BlockRequest*> running;
  std::vector<BlockRequest*> done;
  int flushes = 0;
  absl::Status commit;
  EventFd event = *EventFd::Create();

  // Ends the flush that runs, if any.
  void Finish(int error) {
    if (running.empty()) return;
    running[0]->error = error;
    done.push_back(running[0]);
    running.clear();
    event.Signal();
  }
};

class PmemDiskQueue : public BlockQueue {
 public:
  explicit PmemDiskQueue(PmemDisk& disk) : disk_(disk) {}
  ~PmemDiskQueue() override {
    disk_.running.clear();
    disk_.done.clear();
  }
  void Start(BlockRequest& request) override {
    CHECK(request.op == BlockOp::kFlush);
    CHECK(disk_.running.empty() && disk_.done.empty());
    disk_.running.push_back(&request);
    ++disk_.flushes;
  }
  absl::Status Commit() override { return disk_.commit; }
  BlockRequest* NextDone() override {
    if (disk_.done.empty()) return nullptr;
    return std::exchange(disk_.done, {})[0];
  }
  bool MayHaveDone() const override { return !disk_.done.empty(); }
  int done_fd() const override { return disk_.event.get(); }

 private:
  PmemDisk& disk_;
};

class PmemBackend : public BlockBackend {
 public:
  explicit PmemBackend(PmemDisk& disk) : disk_(disk) {}
  bool read_only() const override { return false; }
  const BlockGeometry& geometry() const override { return geometry_; }
  absl::StatusOr<uint64_t> ReadSize() const override { return 0; }
  absl::StatusOr<std::unique_ptr<BlockQueue>> NewQueue(uint16_t) override {
    return std::make_unique<PmemDiskQueue>(disk_);
  }

 private:
  PmemDisk& disk_;
  BlockGeometry geometry_;
};

class PmemEvents : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t) override { ++notifications; }
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view) override { ++resets_asked; }
  int QueueCallFd(uint16_t) override { return -1; }

  int notifications = 0;
  int resets_asked = 0;
};

class PmemHarness {
 public:
  explicit PmemHarness(bool with_disk = true)
      : device(PmemConfig{.start = 1ull << 32, .size = 4 << 20},
               with_disk ? std::make_unique<PmemBackend>(disk) : nullptr,
               "pmem", *loop) {}

  absl::Status Activate(uint64_t features = 0) {
    ActiveState state{.memory = &memory,
                      .events = &events,
                      .features = kFeatureVersion1 | features,
                      .queues = {}};
    state.queues.push_back({.index = 0,
                            .queue = driver.CreateQueue(state.features),
                            .kick = &kick});
    return device.Activate(std::move(state));
  }
  // Lets the loop run what waits for it, several times over.
  void Turn() {
    int left = 4;
    std::function<void()> next = [&] {
      if (--left == 0) return loop->Stop();
      loop->RunAfter({}, next);
    };
    loop->RunAfter({}, next);
    loop->Run();
  }
  void Kick() {
    kick.Signal();
    Turn();
  }
  fakes::FakeRequest Flush() {
    return driver.Readable(kPmemRequestFlush).Writable(4).Submit();
  }
  void Finish(int error = 0) {
    disk.Finish(error);
    Turn();
  }

  GuestMemory memory = fakes::MakeMemory();
  fakes::FakeDriver driver{memory, /*queue_size=*/64};
  EventFd kick = *EventFd::Create();
  PmemEvents events;
  PmemDisk disk;
  std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  PmemDevice device;  // Last: it uses all of the above.
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_PMEM_PMEM_HARNESS_H_
