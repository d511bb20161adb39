// SPDX-License-Identifier: Apache-2.0
// Packets from the host into guest buffers.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/devices/virtio/net/net_harness.h"

namespace kvmlet::virtio {
namespace {

using fakes::FakeRequest;

constexpr uint64_t kNoMerge = NetHarness::kUsual & ~kNetMergeable;

// The frame of a packet that came in `request`, `length` bytes with header.
Bytes FrameOf(const FakeRequest& request, size_t length) {
  const Bytes all = request.Written();
  return Bytes(all.begin() + kNetHeaderSize,
               all.begin() + static_cast<ptrdiff_t>(length));
}

uint16_t BufferCount(const FakeRequest& request) {
  const Bytes all = request.Written();
  return static_cast<uint16_t>(std::to_integer<unsigned>(all[10]) |
                               std::to_integer<unsigned>(all[11]) << 8);
}

TEST(NetReceive, FrameLandsInOneBuffer) {
  NetHarness net;
  const FakeRequest buffer = net.rx().Writable(2048).Submit();
  ASSERT_TRUE(net.Activate().ok());
  const Bytes frame = Pattern(100);

  net.port().Arrive(WithHeader(frame));
  net.Pump();

  const auto used = net.rx().PopUsed();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->id, buffer.head());
  EXPECT_EQ(used->len, kNetHeaderSize + frame.size());
  EXPECT_EQ(FrameOf(buffer, used->len), frame);
  EXPECT_EQ(BufferCount(buffer), 1);
  EXPECT_EQ(net.events.notified[0], 1);
}

TEST(NetReceive, FrameIsMergedOverSeveralBuffers) {
  NetHarness net;
  std::vector<FakeRequest> buffers;
  for (int i = 0; i < 4; ++i) {
    buffers.push_back(net.rx().Writable(1000).Submit());
  }
  ASSERT_TRUE(net.Activate().ok());
  const Bytes packet = WithHeader(Pattern(2500));

  net.port().Arrive(packet);
  net.Pump();

  Bytes merged;
  for (int i = 0; i < 3; ++i) {
    const auto used = net.rx().PopUsed();
    ASSERT_TRUE(used.has_value());
    const Bytes part = buffers[static_cast<size_t>(i)].Written();
    merged.insert(merged.end(), part.begin(), part.begin() + used->len);
  }
  EXPECT_FALSE(net.rx().PopUsed().has_value());
  EXPECT_EQ(BufferCount(buffers[0]), 3);
  EXPECT_TRUE(std::equal(merged.begin() + kNetHeaderSize, merged.end(),
                         packet.begin() + kNetHeaderSize, packet.end()));
}

TEST(NetReceive, LargeBuffersAreReadIntoDirectly) {
  NetHarness net;
  for (int i = 0; i < 4; ++i) net.rx().Writable(40000).Submit();
  ASSERT_TRUE(net.Activate().ok());
  const Bytes frame = Pattern(60000);

  net.port().Arrive(WithHeader(frame));
  net.Pump();

  EXPECT_EQ(net.port().largest_offer, 80000u);
  EXPECT_EQ(net.rx().PopUsed()->len, 40000u);
  EXPECT_EQ(net.rx().PopUsed()->len, frame.size() + kNetHeaderSize - 40000);
}

TEST(NetReceive, HeaderMayBeSplitIntoSingleBytes) {
  NetHarness net;
  for (int i = 0; i < 14; ++i) net.rx().Writable(1);
  const FakeRequest buffer = net.rx().Writable(500).Indirect().Submit();
  ASSERT_TRUE(net.Activate().ok());

  net.port().Arrive(WithHeader(Pattern(64)));
  net.Pump();

  const auto used = net.rx().PopUsed();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(FrameOf(buffer, used->len), Pattern(64));
  EXPECT_EQ(BufferCount(buffer), 1);
}

TEST(NetReceive, WithoutMergingEachFrameTakesOneBuffer) {
  NetHarness net;
  const FakeRequest first = net.rx().Writable(1526).Submit();
  const FakeRequest second = net.rx().Writable(1526).Submit();
  ASSERT_TRUE(net.Activate(kNoMerge).ok());

  net.port().Arrive(WithHeader(Pattern(1514)));
  net.port().Arrive(WithHeader(Pattern(60, 9)));
  net.Pump();

  EXPECT_EQ(net.rx().PopUsed()->len, 1526u);
  EXPECT_EQ(net.rx().PopUsed()->len, 72u);
  EXPECT_EQ(FrameOf(first, 1526), Pattern(1514));
  EXPECT_EQ(BufferCount(second), 1);
}

TEST(NetReceive, FrameTooLargeForItsBufferIsDropped) {
  NetHarness net;
  const FakeRequest buffer = net.rx().Writable(200).Submit();
  ASSERT_TRUE(net.Activate(kNoMerge).ok());

  net.port().Arrive(WithHeader(Pattern(1000)));
  net.port().Arrive(WithHeader(Pattern(50)));
  net.Pump();

  const auto used = net.rx().PopUsed();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->len, 62u);
  EXPECT_EQ(FrameOf(buffer, 62), Pattern(50));
  EXPECT_EQ(net.events.resets, 0);
}

TEST(NetReceive, LargePacketWaitsForBuffersOfADriverThatWantsThem) {
  NetHarness net;
  net.rx().Writable(1500).Submit();
  ASSERT_TRUE(
      net.Activate(NetHarness::kUsual | kNetGuestChecksum | kNetGuestTso4)
          .ok());
  net.port().Arrive(WithHeader(Pattern(4000)));
  net.Pump();
  EXPECT_FALSE(net.rx().PopUsed().has_value());

  net.rx().Writable(1500).Submit();
  net.rx().Writable(1500).Submit();
  net.Kick(0);
  net.Pump();

  EXPECT_EQ(net.rx().used_index(), 3);
}

TEST(NetReceive, LargePacketIsDroppedForADriverThatDidNotAskForIt) {
  NetHarness net;
  net.rx().Writable(1500).Submit();
  ASSERT_TRUE(net.Activate().ok());

  net.port().Arrive(WithHeader(Pattern(4000)));
  net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();

  EXPECT_EQ(net.rx().PopUsed()->len, 112u);
}

TEST(NetReceive, LargePacketIsDroppedWhenTheWholeRingCannotHoldIt) {
  NetHarness net;
  for (uint16_t i = 0; i < NetHarness::kQueueSize; ++i) {
    net.rx().Writable(16).Submit();
  }
  ASSERT_TRUE(
      net.Activate(NetHarness::kUsual | kNetGuestChecksum | kNetGuestTso4)
          .ok());

  net.port().Arrive(WithHeader(Pattern(4000)));
  net.port().Arrive(WithHeader(Pattern(20)));
  net.Pump();

  EXPECT_EQ(net.rx().used_index(), 2);
}

TEST(NetReceive, WithoutBuffersTheThreadSleepsUntilAKick) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());
  net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();
  EXPECT_EQ(net.port().receive_calls, 0);
  EXPECT_EQ(net.port().waiting.size(), 1u);

  net.rx().Writable(2048).Submit();
  net.Kick(0);
  net.Pump();

  EXPECT_EQ(net.rx().PopUsed()->len, 112u);
}

TEST(NetReceive, ABurstIsDeliveredWithFewNotifications) {
  NetHarness net;
  for (int i = 0; i < 60; ++i) net.rx().Writable(2048).Submit();
  ASSERT_TRUE(net.Activate().ok());
  net.Pump();

  for (int i = 0; i < 50; ++i) net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();

  EXPECT_EQ(net.rx().used_index(), 50);
  EXPECT_EQ(net.events.notified[0], 1);
}

TEST(NetReceive, MoreThanAShareIsServedInSeveralTurns) {
  NetHarness net;
  for (int i = 0; i < 60; ++i) net.rx().Writable(100).Submit();
  ASSERT_TRUE(net.Activate(kNoMerge).ok());

  for (int i = 0; i < 300; ++i) net.port().Arrive(WithHeader(Pattern(400)));
  net.port().Arrive(WithHeader(Pattern(20)));
  net.Pump();

  EXPECT_TRUE(net.port().waiting.empty());
  EXPECT_EQ(net.rx().used_index(), 1);
}

TEST(NetReceive, BufferShorterThanTheHeaderNeedsReset) {
  NetHarness net;
  net.rx().Writable(11).Submit();
  ASSERT_TRUE(net.Activate().ok());

  net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
  EXPECT_EQ(net.rx().used_index(), 0);
}

TEST(NetReceive, ReadableBufferNeedsReset) {
  NetHarness net;
  net.rx().ReadableText("a buffer that only the driver may write").Submit();
  ASSERT_TRUE(net.Activate().ok());

  net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
}

TEST(NetReceive, BufferOutsideRamNeedsReset) {
  NetHarness net;
  net.rx().WritableAt(Gpa{UINT64_MAX - 100}, 2048).Submit();
  ASSERT_TRUE(net.Activate().ok());

  net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
}

TEST(NetReceive, TooManyPartsNeedReset) {
  NetHarness net;
  for (int i = 0; i < 1025; ++i) net.rx().Writable(1);
  net.rx().Indirect().Submit();
  ASSERT_TRUE(net.Activate().ok());

  net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
}

TEST(NetReceive, BrokenQueueIsNotServedAgain) {
  NetHarness net;
  net.rx().Writable(1).Submit();
  ASSERT_TRUE(net.Activate().ok());
  net.port().Arrive(WithHeader(Pattern(100)));
  net.Pump();

  net.rx().Writable(2048).Submit();
  net.Kick(0);
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
  EXPECT_EQ(net.rx().used_index(), 0);
}

TEST(NetReceive, BackendGoneTakesTheLinkDown) {
  NetHarness net;
  net.rx().Writable(2048).Submit();
  ASSERT_TRUE(net.Activate().ok());
  net.Pump();
  EXPECT_EQ(net.Config().status, kNetLinkUp);

  net.port().CloseByHost();
  net.Pump();

  EXPECT_EQ(net.Config().status, 0);
  EXPECT_EQ(net.events.config_changes, 1);
  EXPECT_EQ(net.events.resets, 0);
}

}  // namespace
}  // namespace kvmlet::virtio
