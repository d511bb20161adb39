// SPDX-License-Identifier: Apache-2.0
#include "vmm/event/event_loop.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace kvmlet {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

class EventLoopTest : public testing::Test {
 protected:
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  EventFd event_ = *EventFd::Create();
};

TEST_F(EventLoopTest, CallsBackForAReadyDescriptor) {
  int calls = 0;
  uint32_t seen = 0;
  ASSERT_TRUE(loop_
                  ->Add(event_.get(), EPOLLIN,
                        [&](uint32_t events) {
                          ++calls;
                          seen = events;
                          event_.Consume();
                          loop_->Stop();
                        })
                  .ok());
  event_.Signal();
  loop_->Run();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(seen, EPOLLIN);
}

TEST_F(EventLoopTest, ARegularFileCannotBeWatched) {
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(loop_->Add(file.get(), EPOLLIN, [](uint32_t) {}).ok());
  EXPECT_FALSE(loop_->Add(-1, EPOLLIN, [](uint32_t) {}).ok());
}

TEST_F(EventLoopTest, AddingTwiceIsAnErrorAndTheFirstStays) {
  bool called = false;
  ASSERT_TRUE(loop_
                  ->Add(event_.get(), EPOLLIN,
                        [&](uint32_t) {
                          called = true;
                          loop_->Stop();
                        })
                  .ok());
  EXPECT_FALSE(loop_->Add(event_.get(), EPOLLIN, [](uint32_t) {}).ok());
  event_.Signal();
  loop_->Run();
  EXPECT_TRUE(called);
}

TEST_F(EventLoopTest, ACallbackMayRemoveItself) {
  int calls = 0;
  ASSERT_TRUE(loop_
                  ->Add(event_.get(), EPOLLIN,
                        [&](uint32_t) {
                          ++calls;
                          loop_->Remove(event_.get());
                          loop_->RunAfter(milliseconds(5),
                                          [this] { loop_->Stop(); });
                        })
                  .ok());
  event_.Signal();  // never consumed: without Remove it would come for ever
  loop_->Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ACallbackMayRemoveAnotherThatIsReadyToo) {
  const EventFd other = *EventFd::Create();
  int calls = 0;
  const auto only_one = [&](uint32_t) {
    ++calls;
    loop_->Remove(event_.get());
    loop_->Remove(other.get());
    loop_->RunAfter(milliseconds(5), [this] { loop_->Stop(); });
  };
  ASSERT_TRUE(loop_->Add(event_.get(), EPOLLIN, only_one).ok());
  ASSERT_TRUE(loop_->Add(other.get(), EPOLLIN, only_one).ok());
  event_.Signal();
  other.Signal();
  loop_->Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, AStaleEventDoesNotReachTheNumbersNextOwner) {
  EventFd other = *EventFd::Create();
  bool wrong = false;
  // Both are ready in one turn; whichever comes first replaces the other's
  // descriptor by a quiet one of the same number.
  const auto replace = [&](int victim) {
    const EventFd quiet = *EventFd::Create();
    loop_->Remove(victim);
    ASSERT_EQ(::dup2(quiet.get(), victim), victim);
    ASSERT_TRUE(
        loop_->Add(victim, EPOLLIN, [&](uint32_t) { wrong = true; }).ok());
    loop_->Remove(victim == event_.get() ? other.get() : event_.get());
    loop_->RunAfter(milliseconds(5), [this] { loop_->Stop(); });
  };
  ASSERT_TRUE(
      loop_->Add(event_.get(), EPOLLIN, [&](uint32_t) { replace(other.get()); })
          .ok());
  ASSERT_TRUE(
      loop_->Add(other.get(), EPOLLIN, [&](uint32_t) { replace(event_.get()); })
          .ok());
  event_.Signal();
  other.Signal();
  loop_->Run();
  EXPECT_FALSE(wrong);
}

TEST_F(EventLoopTest, ModifyChangesWhatIsWatched) {
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const UniqueFd one(sockets[0]);
  const UniqueFd two(sockets[1]);
  uint32_t seen = 0;
  ASSERT_TRUE(loop_
                  ->Add(one.get(), EPOLLIN,
                        [&](uint32_t events) {
                          seen = events;
                          loop_->Stop();
                        })
                  .ok());
  ASSERT_TRUE(loop_->Modify(one.get(), EPOLLOUT).ok());
  loop_->Run();
  EXPECT_EQ(seen, EPOLLOUT);
  EXPECT_FALSE(loop_->Modify(two.get(), EPOLLOUT).ok());
}

TEST_F(EventLoopTest, RemovingWhatIsNotThereDoesNothing) {
  loop_->Remove(event_.get());
  loop_->Remove(-1);
  loop_->Remove(100'000);
}

TEST_F(EventLoopTest, TimersFireInTheOrderOfTheirTimes) {
  std::vector<int> order;
  loop_->RunAfter(milliseconds(20), [&] {
    order.push_back(3);
    loop_->Stop();
  });
  loop_->RunAfter(milliseconds(10), [&] { order.push_back(2); });
  loop_->RunAfter({}, [&] { order.push_back(1); });
  loop_->Run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST_F(EventLoopTest, ATimerDoesNotFireEarly) {
  const auto start = EventLoop::Clock::now();
  loop_->RunAfter(milliseconds(30), [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_GE(EventLoop::Clock::now() - start, milliseconds(30));
}

TEST_F(EventLoopTest, ACancelledTimerDoesNotFire) {
  bool fired = false;
  const auto timer =
      loop_->RunAfter(milliseconds(1), [&fired] { fired = true; });
  loop_->RunAfter(milliseconds(10), [this] { loop_->Stop(); });
  loop_->Cancel(timer);
  loop_->Cancel(timer);
  loop_->Cancel(12345);
  loop_->Run();
  EXPECT_FALSE(fired);
}

TEST_F(EventLoopTest, ATimerMayCancelTheNextAndStartAnother) {
  bool wrong = false;
  EventLoop::TimerId next = 0;
  loop_->RunAfter({}, [&] {
    loop_->Cancel(next);
    loop_->RunAfter(milliseconds(5), [this] { loop_->Stop(); });
  });
  next = loop_->RunAfter({}, [&wrong] { wrong = true; });
  loop_->Run();
  EXPECT_FALSE(wrong);
}

TEST_F(EventLoopTest, ATimerThatStartsItselfAgainLetsOthersIn) {
  std::function<void()> again = [&] { loop_->RunAfter({}, again); };
  loop_->RunAfter({}, again);
  ASSERT_TRUE(
      loop_->Add(event_.get(), EPOLLIN, [this](uint32_t) { loop_->Stop(); })
          .ok());
  event_.Signal();
  loop_->Run();  // ends only when the descriptor gets its turn
}

TEST_F(EventLoopTest, PostedFunctionsRunInOrder) {
  std::vector<int> order;
  loop_->Post([&] { order.push_back(1); });
  loop_->Post([&] {
    order.push_back(2);
    loop_->Post([&] {
      order.push_back(3);
      loop_->Stop();
    });
  });
  loop_->Run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST_F(EventLoopTest, WhatWasPostedBeforeStopStillRuns) {
  bool ran = false;
  loop_->Post([&] {
    loop_->Post([&ran] { ran = true; });
    loop_->Stop();
  });
  loop_->Run();
  EXPECT_TRUE(ran);
}

TEST_F(EventLoopTest, StopBeforeRunEndsItAtOnce) {
  loop_->Stop();
  loop_->Run();
}

TEST_F(EventLoopTest, RunsAgainAfterItStopped) {
  for (int i = 0; i < 3; ++i) {
    bool ran = false;
    loop_->Post([&] {
      ran = true;
      loop_->Stop();
    });
    loop_->Run();
    EXPECT_TRUE(ran);
  }
}

TEST_F(EventLoopTest, RunSyncRunsInTheCallerWhileTheLoopDoesNot) {
  bool ran = false;
  loop_->RunSync([&ran] { ran = true; });
  EXPECT_TRUE(ran);
  EXPECT_FALSE(loop_->OnLoopThread());
}

TEST_F(EventLoopTest, RunSyncOnTheLoopsThreadRunsAtOnce) {
  bool nested = false;
  loop_->Post([&] {
    EXPECT_TRUE(loop_->OnLoopThread());
    loop_->RunSync([&nested] { nested = true; });
    EXPECT_TRUE(nested);
    loop_->Stop();
  });
  loop_->Run();
  EXPECT_TRUE(nested);
}

}  // namespace
}  // namespace kvmlet
