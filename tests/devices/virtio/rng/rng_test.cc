// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "tests/fakes/fake_driver.h"

namespace kvmlet::virtio {
namespace {

class CountingEvents : public DeviceEvents {
 public:
  void NotifyQueue(uint16_t) override { ++notifications; }
  void NotifyConfig() override {}
  void SetNeedsReset(std::string_view) override { ++resets_asked; }
  int QueueCallFd(uint16_t) override { return -1; }

  int notifications = 0;
  int resets_asked = 0;
};

class RngTest : public testing::Test {
 protected:
  void Activate() {
    ActiveState state{.memory = &memory_,
                      .events = &events_,
                      .features = kFeatureVersion1,
                      .queues = {}};
    state.queues.push_back({.index = 0,
                            .queue = driver_.CreateQueue(kFeatureVersion1),
                            .kick = &kick_});
    ASSERT_TRUE(device_.Activate(std::move(state)).ok());
  }
  // Kicks and runs the loop until `done`, at most ten seconds.
  bool RunUntil(const std::function<bool()>& done) {
    kick_.Signal();
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
  bool Serve(uint16_t used) {
    return RunUntil([this, used] { return driver_.used_index() == used; });
  }

  GuestMemory memory_ = fakes::MakeMemory();
  fakes::FakeDriver driver_{memory_, /*queue_size=*/64};
  EventFd kick_ = *EventFd::Create();
  CountingEvents events_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  RngDevice device_{*loop_};
};

TEST_F(RngTest, FillsABuffer) {
  Activate();
  const auto request = driver_.Writable(64).Submit();
  ASSERT_TRUE(Serve(1));
  EXPECT_EQ(driver_.PopUsed()->len, 64u);
  const auto bytes = request.Written();
  // All still as they were: a chance of 2^-512.
  EXPECT_FALSE(std::all_of(bytes.begin(), bytes.end(),
                           [](std::byte b) { return b == std::byte{0xa5}; }));
}

TEST_F(RngTest, TwoRequestsDiffer) {
  Activate();
  const auto first = driver_.Writable(64).Submit();
  const auto second = driver_.Writable(64).Submit();
  ASSERT_TRUE(Serve(2));
  EXPECT_NE(first.Written(), second.Written());
}

TEST_F(RngTest, FillsSeveralBuffersOfOneRequest) {
  Activate();
  driver_.Writable(10).Writable(20).Writable(30).Submit();
  ASSERT_TRUE(Serve(1));
  EXPECT_EQ(driver_.PopUsed()->len, 60u);
}

TEST_F(RngTest, LongRequestIsCutAtTheLimit) {
  Activate();
  const auto request = driver_.Writable(RngDevice::kMaxBytes + 100).Submit();
  ASSERT_TRUE(Serve(1));
  EXPECT_EQ(driver_.PopUsed()->len, RngDevice::kMaxBytes);
  const auto bytes = request.Written();
  EXPECT_TRUE(std::all_of(bytes.end() - 100, bytes.end(),
                          [](std::byte b) { return b == std::byte{0xa5}; }));
}

TEST_F(RngTest, ManyRequestsOfOneKickAreAllServed) {
  Activate();
  for (int i = 0; i < 60; ++i) driver_.Writable(8).Submit();
  EXPECT_TRUE(Serve(60));
  EXPECT_GE(events_.notifications, 1);
}

TEST_F(RngTest, RequestWithoutWritableBufferIsGivenBackEmpty) {
  Activate();
  driver_.ReadableText("hello").Submit();
  ASSERT_TRUE(Serve(1));
  EXPECT_EQ(driver_.PopUsed()->len, 0u);
}

TEST_F(RngTest, ReadableBufferIsLeftAlone) {
  Activate();
  const auto request = driver_.ReadableText("hello").Writable(4).Submit();
  ASSERT_TRUE(Serve(1));
  EXPECT_EQ(driver_.PopUsed()->len, 4u);
  EXPECT_EQ(memory_.Load<char>(request.readable()[0].at), 'h');
}

TEST_F(RngTest, BufferOutsideRamAsksForReset) {
  Activate();
  driver_.WritableAt(Gpa{1ull << 40}, 64).Submit();
  EXPECT_TRUE(RunUntil([this] { return events_.resets_asked == 1; }));
  EXPECT_EQ(driver_.used_index(), 0);
}

TEST_F(RngTest, IndexJumpAsksForResetOnce) {
  Activate();
  driver_.SetAvailIndex(5000);
  EXPECT_TRUE(RunUntil([this] { return events_.resets_asked > 0; }));
  RunUntil([] { return true; });
  EXPECT_EQ(events_.resets_asked, 1);
}

TEST_F(RngTest, ResetStopsTheService) {
  Activate();
  device_.Reset();
  driver_.Writable(64).Submit();
  RunUntil([] { return true; });
  EXPECT_EQ(driver_.used_index(), 0);
}

TEST_F(RngTest, ResetWithoutActivation) {
  device_.Reset();
  device_.Reset();
}

TEST_F(RngTest, BuffersFromBeforeDriverOkAreServed) {
  driver_.Writable(64).Submit();
  Activate();
  kick_.Consume();
  kick_.Signal();
  EXPECT_TRUE(Serve(1));
}

}  // namespace
}  // namespace kvmlet::virtio
