// SPDX-License-Identifier: Apache-2.0
// Packets from guest buffers to the host, and resets in between.
#include <gtest/gtest.h>

#include "tests/devices/virtio/net/net_harness.h"

namespace kvmlet::virtio {
namespace {

TEST(NetTransmit, FrameReachesThePort) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  const Bytes packet = WithHeader(Pattern(100));

  net.tx().Readable(std::span(packet)).Submit();
  net.Kick(1);
  net.Pump();

  ASSERT_EQ(net.port().sent.size(), 1u);
  EXPECT_EQ(net.port().sent[0], packet);
  EXPECT_EQ(net.tx().PopUsed()->len, 0u);
  EXPECT_EQ(net.events.notified[1], 1);
}

TEST(NetTransmit, HeaderAndFrameMayBeInPieces) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  const Bytes packet = WithHeader(Pattern(40));

  for (size_t i = 0; i < packet.size(); ++i) {
    net.tx().Readable(std::span(packet).subspan(i, 1));
  }
  net.tx().Indirect().Submit();
  net.Kick(1);
  net.Pump();

  ASSERT_EQ(net.port().sent.size(), 1u);
  EXPECT_EQ(net.port().sent[0], packet);
}

TEST(NetTransmit, PacketsSubmittedBeforeActivationAreSent) {
  NetHarness net;
  net.tx().Readable(WithHeader(Pattern(60))).Submit();

  ASSERT_TRUE(net.Activate().ok());
  net.Pump();

  EXPECT_EQ(net.port().sent.size(), 1u);
}

TEST(NetTransmit, ABurstIsNotifiedOnce) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  net.Pump();

  for (int i = 0; i < 60; ++i) {
    net.tx().Readable(WithHeader(Pattern(60))).Submit();
  }
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.port().sent.size(), 60u);
  EXPECT_EQ(net.events.notified[1], 1);
}

TEST(NetTransmit, RefusedPacketIsCompletedAndLost) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  net.port().send_result = NetResult::kDropped;

  net.tx().Readable(WithHeader(Pattern(60))).Submit();
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.tx().used_index(), 1);
  EXPECT_EQ(net.events.resets, 0);
}

TEST(NetTransmit, FullPortKeepsPacketsInTheRing) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  net.port().send_result = NetResult::kAgain;
  for (int i = 0; i < 3; ++i) {
    net.tx().Readable(WithHeader(Pattern(60))).Submit();
  }
  net.Kick(1);
  net.Pump();
  EXPECT_EQ(net.tx().used_index(), 0);

  // The fake's descriptor is always writable: any signal says so once more.
  net.port().send_result = NetResult::kDone;
  net.port().Arrive(WithHeader(Pattern(60)));
  net.Pump();

  EXPECT_EQ(net.port().sent.size(), 3u);
  EXPECT_EQ(net.tx().used_index(), 3);
}

TEST(NetTransmit, OversizedPacketIsLost) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  net.tx().Readable(Pattern(kMaxNetPacket + 1)).Submit();
  net.Kick(1);
  net.Pump();

  EXPECT_TRUE(net.port().sent.empty());
  EXPECT_EQ(net.tx().used_index(), 1);
}

TEST(NetTransmit, PacketShorterThanItsHeaderNeedsReset) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  net.tx().Readable(Pattern(11)).Submit();
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
  EXPECT_TRUE(net.port().sent.empty());
}

TEST(NetTransmit, WritableChainNeedsReset) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  net.tx().Writable(100).Submit();
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
}

TEST(NetTransmit, JumpingAvailIndexNeedsReset) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  net.tx().SetAvailIndex(1000);
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
}

TEST(NetTransmit, PacketsAreLostOnceTheBackendIsGone) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  net.port().closed = true;

  for (int i = 0; i < 5; ++i) {
    net.tx().Readable(WithHeader(Pattern(60))).Submit();
  }
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.tx().used_index(), 5);
  EXPECT_EQ(net.Config().status, 0);
  EXPECT_EQ(net.events.config_changes, 1);
}

TEST(NetTransmit, ResetWithPacketsInFlightTouchesNothingMore) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  net.port().send_result = NetResult::kAgain;
  net.tx().Readable(WithHeader(Pattern(60))).Submit();
  net.rx().Writable(2048).Submit();
  net.Kick(1);
  net.Turn();
  net.device->Reset();

  net.port().send_result = NetResult::kDone;
  net.port().Arrive(WithHeader(Pattern(60)));
  net.Kick(0);
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.rx().used_index(), 0);
  EXPECT_EQ(net.tx().used_index(), 0);
  EXPECT_TRUE(net.port().sent.empty());
}

TEST(NetTransmit, WorksAgainAfterAReset) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  net.Pump();
  net.device->Reset();

  ASSERT_TRUE(net.Activate().ok());
  net.tx().Readable(WithHeader(Pattern(60))).Submit();
  net.Kick(1);
  net.Pump();

  EXPECT_EQ(net.port().sent.size(), 1u);
}

TEST(NetTransmit, DisabledQueuesAreLeftAlone) {
  NetHarness net;
  ActiveState state;
  state.memory = &net.memory;
  state.events = &net.events;
  state.features = NetHarness::kUsual;
  state.queues.resize(3);

  EXPECT_TRUE(net.device->Activate(std::move(state)).ok());
  net.port().Arrive(WithHeader(Pattern(60)));
  net.Pump();

  EXPECT_EQ(net.port().waiting.size(), 1u);
}

}  // namespace
}  // namespace kvmlet::virtio
