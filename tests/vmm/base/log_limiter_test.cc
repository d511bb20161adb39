// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/log_limiter.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace kvmlet {
namespace {

using testing::Each;
using testing::SizeIs;

// Collects what is logged while it lives.
class Lines : public google::LogSink {
 public:
  Lines() { google::AddLogSink(this); }
  ~Lines() override { google::RemoveLogSink(this); }
  using google::LogSink::send;
  void send(google::LogSeverity, const char*, const char*, int,
            const google::LogMessageTime&, const char* message,
            size_t length) override {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(message, length);
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;  // guarded by mutex_
};

TEST(LogLimiterTest, ABurstOfTenThenSilence) {
  Lines log;
  LogLimiter limiter("device");
  for (int i = 0; i < 1000; ++i) limiter.Warn("bad");
  EXPECT_THAT(log.lines(), SizeIs(10));
  EXPECT_THAT(log.lines(), Each("device: bad"));
  EXPECT_EQ(limiter.suppressed(), 990u);
}

TEST(LogLimiterTest, EachLimiterHasItsOwnBurst) {
  Lines log;
  LogLimiter one("one");
  LogLimiter two("two");
  for (int i = 0; i < 20; ++i) one.Warn("bad");
  two.Warn("bad");
  EXPECT_EQ(log.lines().back(), "two: bad");
  EXPECT_EQ(two.suppressed(), 0u);
}

TEST(LogLimiterTest, ManyThreadsLoseNoLine) {
  Lines log;
  LogLimiter limiter("device");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&limiter] {
      for (int n = 0; n < 250; ++n) limiter.Warn("bad");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(log.lines().size() + limiter.suppressed(), 1000u);
}

}  // namespace
}  // namespace kvmlet
