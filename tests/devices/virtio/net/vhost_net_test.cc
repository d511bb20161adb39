// SPDX-License-Identifier: Apache-2.0
// The network card with the kernel's data path, on a tap in a namespace of the
// test's own. Skipped, with the reason, where that cannot be had.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "devices/virtio/vhost_queue.h"
#include "tests/devices/virtio/net/call_events.h"
#include "tests/devices/virtio/net/net_harness.h"

namespace kvmlet::virtio {
namespace {

constexpr uint16_t kEtherType = 0x88b5;
constexpr char kTap[] = "kvmv0";

// Empty, or why the test cannot run.
std::string Prepare() {
  if (::access("/dev/vhost-net", R_OK | W_OK) != 0) {
    return "no access to /dev/vhost-net";
  }
  if (::unshare(CLONE_NEWNET) != 0) return "no network namespace for this user";
  return ::access("/dev/net/tun", R_OK | W_OK) == 0
             ? ""
             : "no access to /dev/net/tun";
}

Bytes TestFrame(size_t length) {
  Bytes frame = Pattern(length);
  std::memset(frame.data(), 0xff, 6);
  frame[6] = std::byte{2};
  frame[12] = std::byte{kEtherType >> 8};
  frame[13] = std::byte{kEtherType & 0xff};
  return frame;
}

bool IsTestFrame(const Bytes& packet) {
  return packet.size() > kNetHeaderSize + 14 &&
         packet[kNetHeaderSize + 12] == std::byte{kEtherType >> 8} &&
         packet[kNetHeaderSize + 13] == std::byte{kEtherType & 0xff};
}

TEST(VhostRegionsTest, MemoryOfDevicesIsThereBeforeItIsPlugged) {
  GuestMemory memory = fakes::MakeMemory();
  constexpr uint64_t kSize = 64 << 20;
  const DeviceMemory& device =
      memory.AddDevice(*DeviceMemory::Create({.flag = "test",
                                              .base = Gpa{4ull << 30},
                                              .size = kSize,
                                              .block_size = 2 << 20,
                                              .backing = {}}));
  const std::vector<VhostRegion> regions = VhostRegions(memory);
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[1].guest, 4ull << 30);
  EXPECT_EQ(regions[1].size, kSize);
  EXPECT_EQ(regions[1].host, device.Part(0, 1).host);
}

class VhostNetTest : public testing::Test {
 protected:
  VhostNetTest()
      : memory_(fakes::MakeMemory(4 << 20)), loop_(*EventLoop::Create()) {
    for (uint64_t i = 0; i < 3; ++i) {
      drivers_.emplace_back(memory_, 64, Gpa{(i + 1) << 20}, 1 << 20);
      kicks_.push_back(*EventFd::Create());
    }
  }

  void SetUp() override {
    static const std::string why_not = Prepare();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    NetOptions options;
    options.tap = kTap;
    options.vhost = true;
    auto backend = OpenNetBackend(options);
    ASSERT_TRUE(backend.ok()) << backend.status();
    auto device =
        NetDevice::Create(options, *std::move(backend), {loop_.get()});
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    socket_.Reset(::socket(AF_PACKET, SOCK_RAW, htons(kEtherType)));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kEtherType);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(kTap));
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address),
                     sizeof(address)),
              0);
  }

  absl::Status Activate() {
    const uint64_t features =
        NetHarness::kUsual | kNetChecksum | kNetGuestChecksum | kNetGuestTso4;
    ActiveState state;
    state.memory = &memory_;
    state.events = &events_;
    state.features = features;
    for (uint16_t i = 0; i < 3; ++i) {
      ActiveQueue queue;
      queue.index = i;
      queue.queue = drivers_[i].CreateQueue(features);
      queue.kick = &kicks_[i];
      state.queues.push_back(std::move(queue));
    }
    return device_->Activate(std::move(state));
  }

  GuestMemory memory_;
  std::unique_ptr<EventLoop> loop_;
  CallEvents events_{3};
  std::vector<fakes::FakeDriver> drivers_;
  std::vector<EventFd> kicks_;
  std::unique_ptr<NetDevice> device_;
  UniqueFd socket_;
};

TEST_F(VhostNetTest, KernelMovesFramesBothWays) {
  ASSERT_TRUE(device_->uses_vhost());
  std::vector<fakes::FakeRequest> buffers;
  for (int i = 0; i < 60; ++i) {
    buffers.push_back(drivers_[0].Writable(2048).Submit());
  }
  ASSERT_TRUE(Activate().ok());
  const Bytes out = TestFrame(300);
  const Bytes in = TestFrame(700);

  drivers_[1].Readable(WithHeader(out)).Submit();
  kicks_[1].Signal();
  Bytes seen(2000);
  pollfd p{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&p, 1, 3000), 1);
  seen.resize(
      static_cast<size_t>(::recv(socket_.get(), seen.data(), seen.size(), 0)));
  ASSERT_EQ(::send(socket_.get(), in.data(), in.size(), 0), 700);

  EXPECT_EQ(seen, out);
  Bytes packet;
  while (!IsTestFrame(packet)) {
    if (const auto used = drivers_[0].PopUsed()) {
      for (const fakes::FakeRequest& buffer : buffers) {
        if (buffer.head() == used->id) packet = buffer.Written();
      }
      packet.resize(used->len);
      continue;
    }
    // Ask for a notification of the next one; it may have come meanwhile.
    const uint16_t seen_index = drivers_[0].used_index();
    drivers_[0].SetUsedEvent(seen_index);
    if (drivers_[0].used_index() != seen_index) continue;
    ASSERT_TRUE(events_.WaitForCall(0));
  }
  EXPECT_EQ(Bytes(packet.begin() + kNetHeaderSize, packet.end()), in);
  EXPECT_EQ(events_.resets, 0);
}

TEST_F(VhostNetTest, AfterResetTheKernelLeavesMemoryAlone) {
  for (int i = 0; i < 60; ++i) drivers_[0].Writable(2048).Submit();
  ASSERT_TRUE(Activate().ok());

  device_->Reset();
  const uint16_t used = drivers_[0].used_index();
  const Bytes in = TestFrame(700);
  ASSERT_EQ(::send(socket_.get(), in.data(), in.size(), 0), 700);
  ::usleep(100000);

  EXPECT_EQ(drivers_[0].used_index(), used);
}

TEST_F(VhostNetTest, CanBeActivatedAgain) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Activate().ok());
    device_->Reset();
  }
}

TEST_F(VhostNetTest, BrokenRingNeedsReset) {
  ASSERT_TRUE(Activate().ok());

  drivers_[1].ReadableAt(Gpa{1ull << 50}, 4096).Submit();
  kicks_[1].Signal();
  loop_->RunAfter(std::chrono::milliseconds(500), [this] { loop_->Stop(); });
  loop_->Run();

  EXPECT_GE(events_.resets, 1);
}

}  // namespace
}  // namespace kvmlet::virtio
