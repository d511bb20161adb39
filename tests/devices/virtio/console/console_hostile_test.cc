// SPDX-License-Identifier: Apache-2.0
// A driver that breaks the console's rules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <string>

#include "tests/devices/virtio/console/console_fixture.h"

namespace kvmlet::virtio {
namespace {

using testing::IsEmpty;

using ConsoleHostileTest = ConsoleTest;

TEST_F(ConsoleHostileTest, UnknownPortsAndEventsAreIgnored) {
  Activate();
  OfferControlBuffers(16);
  SendControl({2, kPortReady, 1});
  SendControl({UINT32_MAX, kPortReady, 1});
  SendControl({0, 0xffff, 1});
  SendControl({0, kDeviceAdd, 1});
  SendControl({0, kDeviceReady, 0});
  SendControl({0, kPortReady, 0});
  EXPECT_THAT(TakeControl(), IsEmpty());
  EXPECT_EQ(driver(kControlOut).used_index(), 6);
  EXPECT_EQ(resets_asked_, 0);
}

TEST_F(ConsoleHostileTest, AControlMessageThatIsTooShortIsIgnored) {
  Activate();
  OfferControlBuffers(4);
  driver(kControlOut).ReadableText("short").Submit();
  driver(kControlOut).Writable(8).Submit();
  Kick(kControlOut);
  EXPECT_EQ(driver(kControlOut).used_index(), 2);
  EXPECT_THAT(TakeControl(), IsEmpty());
  EXPECT_EQ(resets_asked_, 0);
}

TEST_F(ConsoleHostileTest, AControlMessageInPiecesIsTaken) {
  Activate();
  OfferControlBuffers(4);
  driver(kControlOut)
      .Readable(uint32_t{0})
      .Readable(kPortReady)
      .Readable(uint16_t{1})
      .Submit();
  Kick(kControlOut);
  EXPECT_EQ(TakeControl().size(), 2u);
}

TEST_F(ConsoleHostileTest, BuffersTooSmallForAMessageComeBackEmpty) {
  Activate();
  OfferControlBuffers(1, 4);   // not even the header
  OfferControlBuffers(1, 10);  // the header, but not the name
  SendControl({0, kDeviceReady, 1});
  SendControl({1, kPortReady, 1});
  EXPECT_EQ(driver(kControlIn).PopUsed()->len, 0u);
  EXPECT_EQ(driver(kControlIn).PopUsed()->len, 8u);
  EXPECT_EQ(resets_asked_, 0);
}

TEST_F(ConsoleHostileTest, AFloodOfMessagesIsDropped) {
  Activate();
  for (int i = 0; i < 2000; ++i) {
    driver(kControlOut).Readable(Message{1, kPortReady, 1}).Submit();
    if (i % 60 == 59) Kick(kControlOut);
  }
  Kick(kControlOut);
  EXPECT_EQ(driver(kControlOut).used_index(), 2000);
  size_t kept = 0;
  for (int i = 0; i < 20; ++i) {
    OfferControlBuffers(60);
    Kick(kControlIn);
    kept += TakeControl().size();
  }
  EXPECT_EQ(kept, 256u);
}

TEST_F(ConsoleHostileTest, InputBuffersWithoutRoomDoNotLoseInput) {
  Activate();
  Handshake();
  driver(kIn0).ReadableText("not writable").Submit();
  backend_.Type("kept");
  Kick(kIn0);
  EXPECT_EQ(driver(kIn0).PopUsed()->len, 0u);
  const auto request = driver(kIn0).Writable(16).Submit();
  Kick(kIn0);
  EXPECT_EQ(request.WrittenText(4), "kept");
}

TEST_F(ConsoleHostileTest, WritableOutputIsGivenBack) {
  Activate();
  driver(kOut0).Writable(16).Submit();
  Kick(kOut0);
  EXPECT_EQ(driver(kOut0).used_index(), 1);
  EXPECT_EQ(backend_.output(), "");
}

TEST_F(ConsoleHostileTest, OutputOutsideRamAsksForReset) {
  Activate();
  driver(kOut0).ReadableAt(Gpa{1ull << 40}, 64).Submit();
  Kick(kOut0);
  EXPECT_EQ(resets_asked_, 1);
  driver(kOut0).ReadableText("more").Submit();
  Kick(kOut0);
  EXPECT_EQ(backend_.output(), "");
}

TEST_F(ConsoleHostileTest, ABrokenQueueLeavesTheOthersAlone) {
  Activate();
  driver(kControlOut).SetAvailIndex(5000);
  Kick(kControlOut);
  EXPECT_EQ(resets_asked_, 1);
  driver(kOut0).ReadableText("still").Submit();
  Kick(kOut0);
  EXPECT_EQ(backend_.output(), "still");
}

TEST_F(ConsoleHostileTest, ABrokenInputQueueAsksForReset) {
  Activate();
  Handshake();
  driver(kIn0).SetAvailIndex(9000);
  backend_.Type("x");
  Kick(kIn0);
  EXPECT_EQ(resets_asked_, 1);
}

TEST_F(ConsoleHostileTest, ABrokenControlQueueAsksForReset) {
  Activate();
  driver(kControlIn).SetAvailIndex(9000);
  SendControl({1, kPortReady, 1});
  EXPECT_EQ(resets_asked_, 1);
}

TEST_F(ConsoleHostileTest, MoreChainsThanATurnAreAllServed) {
  Activate();
  std::string all;
  for (int i = 0; i < 10; ++i) {
    for (int n = 0; n < 64; ++n) driver(kOut0).ReadableText("x").Submit();
    all.append(64, 'x');
    Kick(kOut0);
  }
  EXPECT_EQ(backend_.output(), all);
}

TEST_F(ConsoleHostileTest, QueuesThatAreNotEnabledAreLeftOut) {
  ActiveState state{.memory = &memory_,
                    .events = this,
                    .features = kFeatureVersion1 | kMultiport,
                    .queues = {}};
  for (uint16_t i = 0; i < kQueues; ++i) {
    state.queues.push_back(
        {.index = i, .queue = std::nullopt, .kick = &kicks_[i]});
  }
  state.queues[kControlOut].queue = driver(kControlOut).CreateQueue();
  ASSERT_TRUE(device_->Activate(std::move(state)).ok());
  SendControl({0, kPortReady, 1});
  backend_.Type("x");
  Turn();
  EXPECT_EQ(driver(kControlOut).used_index(), 1);
}

// Descriptors that name the same bytes again and again make one chain as long
// as 4 GiB; the loop's other work does not wait for the end of it.
class ConsoleLongChainTest : public ConsoleTest {
 protected:
  static constexpr size_t kBytes = size_t{60} * (256 << 10);

  ConsoleLongChainTest() {
    Activate();
    EXPECT_TRUE(loop_
                    ->Add(other_.get(), EPOLLIN,
                          [this](uint32_t) {
                            other_.Consume();
                            loop_->Stop();
                          })
                    .ok());
    for (int i = 0; i < 60; ++i) driver(kOut1).ReadableAt(Gpa{0}, 256 << 10);
    driver(kOut1).Submit();
    kicks_[kOut1].Signal();
  }
  ~ConsoleLongChainTest() override { loop_->Remove(other_.get()); }
  // Until the loop's other work was done once.
  void OneTurn() {
    other_.Signal();
    loop_->Run();
  }

  EventFd other_ = *EventFd::Create();
};

TEST_F(ConsoleLongChainTest, IsWrittenInTurns) {
  size_t before = 0;
  for (int i = 0; driver(kOut1).used_index() == 0 && i < 100; ++i) {
    OneTurn();
    EXPECT_LE(port_output_.size() - before, 2u << 20);
    before = port_output_.size();
  }
  EXPECT_EQ(port_output_.size(), kBytes);
  EXPECT_EQ(driver(kOut1).used_index(), 1);
}

TEST_F(ConsoleLongChainTest, IsForgottenByAReset) {
  OneTurn();
  EXPECT_LT(port_output_.size(), kBytes);
  device_->Reset();
  kicks_[kOut1].Consume();
  port_output_.clear();
  NewDriver();
  Activate();
  driver(kOut1).ReadableText("new").Submit();
  Kick(kOut1);
  EXPECT_EQ(port_output_, "new");
}

TEST_F(ConsoleHostileTest, AKickAfterResetTouchesNothing) {
  Activate();
  driver(kOut0).ReadableText("late").Submit();
  kicks_[kOut0].Signal();
  device_->Reset();
  Turn();
  EXPECT_EQ(driver(kOut0).used_index(), 0);
  EXPECT_EQ(backend_.output(), "");
}

TEST_F(ConsoleHostileTest, ResetWithoutActivationAndTwice) {
  device_->Reset();
  Activate();
  device_->Reset();
  device_->Reset();
}

}  // namespace
}  // namespace kvmlet::virtio
