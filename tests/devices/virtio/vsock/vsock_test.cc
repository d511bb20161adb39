// SPDX-License-Identifier: Apache-2.0
// What can be said without the host's driver, and, where /dev/vhost-vsock is
// there, one packet through the kernel.
#include "devices/virtio/vsock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/virtio_vsock.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/devices/virtio/net/call_events.h"
#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {
namespace {

using testing::HasSubstr;

constexpr char kNode[] = "/dev/vhost-vsock";
constexpr uint64_t kCid = 4242;
constexpr uint64_t kUsual =
    kFeatureVersion1 | kFeatureEventIdx | kFeatureIndirectDesc;

class VsockTest : public testing::Test {
 protected:
  VsockTest()
      : memory_(fakes::MakeMemory(4 << 20)), loop_(*EventLoop::Create()) {
    for (uint64_t i = 0; i < 3; ++i) {
      drivers_.emplace_back(memory_, 16, Gpa{(i + 1) << 20}, 1 << 20);
      kicks_.push_back(*EventFd::Create());
    }
  }
  void SetUp() override {
    if (::access(kNode, R_OK | W_OK) != 0) {
      GTEST_SKIP() << "no access to " << kNode;
    }
  }
  ActiveState State() {
    ActiveState state;
    state.memory = &memory_;
    state.events = &events_;
    state.features = kUsual;
    for (uint16_t i = 0; i < 3; ++i) {
      ActiveQueue queue;
      queue.index = i;
      queue.queue = drivers_[i].CreateQueue(kUsual);
      queue.kick = &kicks_[i];
      state.queues.push_back(std::move(queue));
    }
    return state;
  }

  GuestMemory memory_;
  std::unique_ptr<EventLoop> loop_;
  CallEvents events_{3};
  std::vector<fakes::FakeDriver> drivers_;
  std::vector<EventFd> kicks_;
};

TEST(VsockCid, ReservedOnesAreRefused) {
  const auto loop = *EventLoop::Create();

  for (uint64_t cid : {uint64_t{0}, uint64_t{2}, uint64_t{0xffffffff},
                       uint64_t{1} << 32, UINT64_MAX}) {
    const absl::Status status = VsockDevice::Create(cid, *loop).status();
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("must be 3 to 4294967294"))
        << cid;
  }
}

TEST(VsockCid, MissingDriverNamesTheRemedy) {
  if (::access(kNode, F_OK) == 0) GTEST_SKIP() << kNode << " is there";
  const auto loop = *EventLoop::Create();

  const absl::Status status = VsockDevice::Create(kCid, *loop).status();

  EXPECT_THAT(std::string(status.message()),
              HasSubstr("--vsock cid=4242: load the driver"));
}

TEST_F(VsockTest, CidInUseSaysSo) {
  auto first = VsockDevice::Create(kCid, *loop_);
  ASSERT_TRUE(first.ok()) << first.status();

  auto second = VsockDevice::Create(kCid, *loop_);

  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another virtual machine may use it"));
}

TEST_F(VsockTest, ConfigHoldsTheCid) {
  auto device = VsockDevice::Create(kCid, *loop_);
  ASSERT_TRUE(device.ok()) << device.status();
  uint64_t cid = 0;

  (*device)->ReadConfig(0, std::as_writable_bytes(std::span(&cid, 1)));

  EXPECT_EQ(cid, kCid);
}

TEST_F(VsockTest, ConnectionNobodyListensForIsReset) {
  auto device = VsockDevice::Create(kCid, *loop_);
  ASSERT_TRUE(device.ok()) << device.status();
  for (int round = 0; round < 2; ++round) {
    drivers_[0].SetAvailIndex(0);
    drivers_[1].SetAvailIndex(0);
    for (auto& driver : drivers_) {
      ASSERT_TRUE(memory_.Zero(driver.config().device, 200));
    }
    const fakes::FakeRequest answer =
        drivers_[0].Writable(sizeof(virtio_vsock_hdr) + 64).Submit();
    virtio_vsock_hdr request{};
    request.src_cid = kCid;
    request.dst_cid = 2;
    request.src_port = 1000;
    request.dst_port = 0x7fff0001;
    request.type = VIRTIO_VSOCK_TYPE_STREAM;
    request.op = VIRTIO_VSOCK_OP_REQUEST;
    request.buf_alloc = 65536;
    ASSERT_TRUE((*device)->Activate(State()).ok());

    drivers_[1].Readable(request).Submit();
    kicks_[1].Signal();

    ASSERT_TRUE(events_.WaitForCall(0));
    (*device)->Reset();
    virtio_vsock_hdr reply{};
    const auto bytes = answer.WritableBytes(0);
    std::memcpy(&reply, bytes.data(), sizeof(reply));
    EXPECT_EQ(reply.op, VIRTIO_VSOCK_OP_RST);
    EXPECT_EQ(reply.dst_cid, kCid);
    EXPECT_EQ(reply.dst_port, 1000u);
    EXPECT_EQ(events_.resets, 0);
  }
}

TEST_F(VsockTest, DisabledQueueFailsActivation) {
  auto device = VsockDevice::Create(kCid, *loop_);
  ASSERT_TRUE(device.ok()) << device.status();
  ActiveState state = State();
  state.queues[1].queue.reset();

  EXPECT_FALSE((*device)->Activate(std::move(state)).ok());
}

TEST_F(VsockTest, BrokenRingNeedsReset) {
  auto device = VsockDevice::Create(kCid, *loop_);
  ASSERT_TRUE(device.ok()) << device.status();
  ASSERT_TRUE((*device)->Activate(State()).ok());

  drivers_[1].ReadableAt(Gpa{1ull << 50}, 4096).Submit();
  kicks_[1].Signal();
  loop_->RunAfter(std::chrono::milliseconds(500), [this] { loop_->Stop(); });
  loop_->Run();

  EXPECT_GE(events_.resets, 1);
}

}  // namespace
}  // namespace kvmlet::virtio
