// SPDX-License-Identifier: Apache-2.0
// Resets and control commands while real I/O threads move packets; meant for
// the thread sanitizer, and for anything that hangs.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "devices/virtio/net.h"
#include "tests/devices/virtio/net/net_harness.h"
#include "vmm/event/io_thread.h"

namespace kvmlet::virtio {
namespace {

class AtomicEvents : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t /*queue*/) override { ++notifications; }
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view /*reason*/) override { ++resets; }
  int QueueCallFd(uint16_t /*queue*/) override { return -1; }
  std::atomic<int> notifications{0};
  std::atomic<int> resets{0};
};

// The far end of the card's socket: sends and swallows frames all the time.
class BusyHost {
 public:
  explicit BusyHost(UniqueFd socket)
      : socket_(std::move(socket)), thread_([this] { Run(); }) {}
  ~BusyHost() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Run() {
    Bytes frame = Pattern(500);
    while (!stop_) {
      ::send(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT);
      ::recv(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT);
      std::this_thread::yield();
    }
  }

  UniqueFd socket_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Fresh rings with buffers and packets in them, for one life of the device.
ActiveState FreshState(const GuestMemory& memory, DeviceEvents& events,
                       const std::vector<EventFd>& kicks) {
  constexpr uint64_t kSpace = 1 << 20;
  ActiveState state;
  state.memory = &memory;
  state.events = &events;
  state.features = NetHarness::kUsual;
  for (uint16_t i = 0; i < kicks.size(); ++i) {
    fakes::FakeDriver driver(memory, 64, Gpa{(i + 1) * kSpace}, kSpace);
    for (int n = 0; i == 0 && n < 30; ++n) driver.Writable(2048).Submit();
    for (int n = 0; i == 1 && n < 30; ++n) {
      driver.Readable(WithHeader(Pattern(500))).Submit();
    }
    ActiveQueue queue;
    queue.index = i;
    queue.queue = driver.CreateQueue(state.features);
    queue.kick = &kicks[i];
    state.queues.push_back(std::move(queue));
  }
  return state;
}

TEST(NetThreads, ResetsWhilePacketsArrive) {
  const GuestMemory memory = fakes::MakeMemory(4 << 20);
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
  const BusyHost host((UniqueFd(sockets[1])));
  NetOptions options;
  options.kind = NetOptions::Kind::kFd;
  options.fd = sockets[0];
  auto backend = OpenNetBackend(options);
  ASSERT_TRUE(backend.ok()) << backend.status();
  const auto thread = *IoThread::Create("net-test");
  thread->Start();
  AtomicEvents events;
  std::vector<EventFd> kicks;
  for (int i = 0; i < 3; ++i) kicks.push_back(*EventFd::Create());
  const auto device =
      *NetDevice::Create(options, *std::move(backend), {&thread->loop()});

  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(device->Activate(FreshState(memory, events, kicks)).ok());
    for (const EventFd& kick : kicks) kick.Signal();
    NetConfigSpace config{};
    device->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
    std::this_thread::sleep_for(std::chrono::microseconds(50 * round));
    device->Reset();
  }

  EXPECT_EQ(events.resets, 0);
  EXPECT_GT(events.notifications, 0);
}

}  // namespace
}  // namespace kvmlet::virtio
