// SPDX-License-Identifier: Apache-2.0
#include "vmm/event/io_thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace kvmlet {
namespace {

TEST(IoThreadTest, ADeviceThatIsNotUsedCostsNoThread) {
  const auto thread = *IoThread::Create("io");
  EXPECT_FALSE(thread->running());
}

TEST(IoThreadTest, BeforeItIsEnabledFunctionsRunInTheirCallers) {
  const auto thread = *IoThread::Create("io");
  std::thread::id ran_on;
  thread->loop().RunSync([&ran_on] { ran_on = std::this_thread::get_id(); });
  EXPECT_FALSE(thread->running());
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(IoThreadTest, TheFirstRunSyncStartsIt) {
  const auto thread = *IoThread::Create("io");
  thread->Enable();
  std::thread::id ran_on;
  thread->loop().RunSync([&ran_on] { ran_on = std::this_thread::get_id(); });
  EXPECT_TRUE(thread->running());
  EXPECT_NE(ran_on, std::this_thread::get_id());
}

TEST(IoThreadTest, StartTwiceIsOneThread) {
  const auto thread = *IoThread::Create("io");
  thread->Start();
  thread->Start();
  EXPECT_TRUE(thread->running());
}

TEST(IoThreadTest, ThreadsThatStartItTogetherShareIt) {
  const auto thread = *IoThread::Create("io");
  thread->Enable();
  std::atomic<int> on_loop{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      thread->loop().RunSync([&] {
        if (thread->loop().OnLoopThread()) ++on_loop;
      });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(on_loop, 8);
}

TEST(IoThreadTest, AfterStopFunctionsRunInTheirCallers) {
  const auto thread = *IoThread::Create("io");
  thread->Start();
  thread->Stop();
  EXPECT_FALSE(thread->running());
  std::thread::id ran_on;
  thread->loop().RunSync([&ran_on] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  EXPECT_FALSE(thread->running());
}

TEST(IoThreadTest, StopWithoutStart) {
  const auto thread = *IoThread::Create("io");
  thread->Stop();
  thread->Stop();
}

TEST(IoThreadTest, WhatWasPostedBeforeStopStillRuns) {
  const auto thread = *IoThread::Create("io");
  thread->Start();
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) thread->loop().Post([&ran] { ++ran; });
  thread->Stop();
  EXPECT_EQ(ran, 100);
}

TEST(IoThreadTest, TheNameIsCutToWhatLinuxShows) {
  const auto thread = *IoThread::Create("a-name-that-is-too-long");
  char name[32] = {};
  thread->Start();
  thread->loop().RunSync(
      [&name] { pthread_getname_np(pthread_self(), name, sizeof(name)); });
  EXPECT_STREQ(name, "a-name-that-is-");
}

TEST(IoThreadTest, SignalsGoElsewhere) {
  const auto thread = *IoThread::Create("io");
  thread->Enable();
  sigset_t blocked;
  thread->loop().RunSync(
      [&blocked] { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); });
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
  EXPECT_EQ(sigismember(&blocked, SIGINT), 1);
  sigset_t mine;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  EXPECT_EQ(sigismember(&mine, SIGTERM), 0);
}

}  // namespace
}  // namespace kvmlet
