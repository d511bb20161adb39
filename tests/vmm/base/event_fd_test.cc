// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/event_fd.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>

namespace kvmlet {
namespace {

TEST(EventFdTest, SignalsAreConsumedOnce) {
  const EventFd event = *EventFd::Create();
  event.Signal();
  event.Signal();
  EXPECT_TRUE(event.Consume());
  EXPECT_FALSE(event.Consume());
}

TEST(EventFdTest, LookingLeavesTheCounterAlone) {
  const EventFd event = *EventFd::Create();
  EXPECT_FALSE(event.Signalled());
  event.Signal();
  EXPECT_TRUE(event.Signalled());
  EXPECT_TRUE(event.Signalled());
  EXPECT_TRUE(event.Consume());
  EXPECT_FALSE(event.Signalled());
}

TEST(EventFdTest, AFullCounterStaysSignalled) {
  const EventFd event = *EventFd::Create();
  const uint64_t full = UINT64_MAX - 1;
  ASSERT_EQ(::write(event.get(), &full, sizeof(full)), 8);
  event.Signal();  // would block
  EXPECT_TRUE(event.Consume());
}

}  // namespace
}  // namespace kvmlet
