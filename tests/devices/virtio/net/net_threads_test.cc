// SPDX-License-Identifier: Apache-2.0
// Resets and control commands while real I/O threads move packets; meant for
// the thread sanitizer, and for anything that hangs.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

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

TEST(NetThreads, ResetsWhilePacketsArrive) {
  constexpr uint64_t kSpace = 1 << 20;
  const GuestMemory memory = fakes::MakeMemory(4 * kSpace);
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
  const UniqueFd peer(sockets[1]);
  NetOptions options;
  options.kind = NetOptions::Kind::kFd;
  options.fd = sockets[0];
  auto backend = OpenNetBackend(options);
  ASSERT_TRUE(backend.ok()) << backend.status();
  auto thread = *IoThread::Create("net-test");
  thread->Start();
  auto device =
      *NetDevice::Create(options, *std::move(backend), {&thread->loop()});
  AtomicEvents events;
  const std::vector<EventFd> kicks = [] {
    std::vector<EventFd> made;
    for (int i = 0; i < 3; ++i) made.push_back(*EventFd::Create());
    return made;
  }();
  std::atomic<bool> stop{false};
  std::thread host([&stop, &peer] {
    Bytes frame = Pattern(500);
    while (!stop) {
      ::send(peer.get(), frame.data(), frame.size(), MSG_DONTWAIT);
      ::recv(peer.get(), frame.data(), frame.size(), MSG_DONTWAIT);
      std::this_thread::yield();
    }
  });

  for (int round = 0; round < 50; ++round) {
    std::vector<fakes::FakeDriver> drivers;
    for (uint64_t i = 0; i < 3; ++i) {
      drivers.emplace_back(memory, 64, Gpa{(i + 1) * kSpace}, kSpace);
    }
    for (int i = 0; i < 30; ++i) {
      drivers[0].Writable(2048).Submit();
      drivers[1].Readable(WithHeader(Pattern(500))).Submit();
    }
    ActiveState state;
    state.memory = &memory;
    state.events = &events;
    state.features = NetHarness::kUsual;
    for (uint16_t i = 0; i < 3; ++i) {
      ActiveQueue queue;
      queue.index = i;
      queue.queue = drivers[i].CreateQueue(state.features);
      queue.kick = &kicks[i];
      state.queues.push_back(std::move(queue));
    }
    ASSERT_TRUE(device->Activate(std::move(state)).ok());
    for (const EventFd& kick : kicks) kick.Signal();
    NetConfigSpace config{};
    device->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
    std::this_thread::sleep_for(std::chrono::microseconds(50 * round));
    device->Reset();
  }

  stop = true;
  host.join();
  EXPECT_EQ(events.resets, 0);
  EXPECT_GT(events.notifications, 0);
}

}  // namespace
}  // namespace kvmlet::virtio
