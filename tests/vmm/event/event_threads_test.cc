// SPDX-License-Identifier: Apache-2.0
// The members of EventLoop that any thread may call, from many threads.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "vmm/event/event_loop.h"

namespace kvmlet {
namespace {

class EventThreadsTest : public testing::Test {
 protected:
  void SetUp() override {
    thread_ = std::thread([this] { loop_->Run(); });
    std::atomic<bool> running{false};
    loop_->Post([&running] { running = true; });
    while (!running) std::this_thread::yield();
  }
  void TearDown() override {
    loop_->Stop();
    if (thread_.joinable()) thread_.join();
  }
  static void OnThreads(int count, const std::function<void()>& body) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back(body);
    for (std::thread& thread : threads) thread.join();
  }

  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  std::thread thread_;
};

TEST_F(EventThreadsTest, EveryPostRunsOnceOnTheLoop) {
  int count = 0;  // the loop's thread only
  OnThreads(4, [&] {
    for (int i = 0; i < 500; ++i) {
      loop_->Post([&] {
        EXPECT_TRUE(loop_->OnLoopThread());
        ++count;
      });
    }
  });
  int seen = 0;
  loop_->RunSync([&] { seen = count; });
  EXPECT_EQ(seen, 2000);
}

TEST_F(EventThreadsTest, RunSyncWaitsAndExcludesOthers) {
  int count = 0;
  OnThreads(4, [&] {
    for (int i = 0; i < 200; ++i) {
      bool ran = false;
      loop_->RunSync([&] {
        ++count;
        ran = true;
      });
      EXPECT_TRUE(ran);
    }
  });
  loop_->RunSync([&] { EXPECT_EQ(count, 800); });
}

TEST_F(EventThreadsTest, RunSyncReturnsWhenTheLoopStopsMeanwhile) {
  std::atomic<int> ran{0};
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    loop_->Stop();
  });
  OnThreads(3, [&] {
    for (int i = 0; i < 200; ++i) {
      loop_->RunSync([&ran] { ++ran; });
      std::this_thread::yield();
    }
  });
  stopper.join();
  EXPECT_EQ(ran, 600);
}

TEST_F(EventThreadsTest, StopFromManyThreadsIsOneStop) {
  OnThreads(4, [&] { loop_->Stop(); });
  thread_.join();
}

}  // namespace
}  // namespace kvmlet
