// SPDX-License-Identifier: Apache-2.0
// Features, configuration space and the control queue of the network card.
#include "devices/virtio/net.h"

#include <gtest/gtest.h>
#include <linux/if_tun.h>

#include "tests/devices/virtio/net/net_harness.h"

namespace kvmlet::virtio {
namespace {

Bytes MakeCommand(std::initializer_list<uint8_t> bytes) {
  Bytes command;
  for (uint8_t b : bytes) command.push_back(std::byte{b});
  return command;
}

TEST(NetDevice, OffersWhatTheBackendCan) {
  NetHarness net;

  const uint64_t features = net.device->device_features();

  EXPECT_NE(features & kNetHostTso4, 0u);
  EXPECT_NE(features & kNetGuestTso6, 0u);
  EXPECT_NE(features & kNetControlGuestOffloads, 0u);
  EXPECT_EQ(features & kNetMultiQueue, 0u);
  EXPECT_EQ(features & kNetMtu, 0u);
}

TEST(NetDevice, OffersNoOffloadsThatTheBackendLacks) {
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  auto backend = std::make_unique<FakeBackend>();
  backend->supported = 0;
  backend->mtu_value = 9000;

  auto device = NetDevice::Create({}, std::move(backend), {loop->get()});

  ASSERT_TRUE(device.ok());
  const uint64_t features = (*device)->device_features();
  EXPECT_EQ(features & (kNetChecksum | kNetGuestChecksum | kNetHostTso4), 0u);
  EXPECT_EQ(features & kNetControlGuestOffloads, 0u);
  EXPECT_NE(features & kNetMtu, 0u);
}

TEST(NetDevice, RandomMacIsLocallyAdministered) {
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  auto device =
      NetDevice::Create({}, std::make_unique<FakeBackend>(), {loop->get()});
  ASSERT_TRUE(device.ok());
  NetConfigSpace config{};

  (*device)->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));

  EXPECT_EQ(config.mac[0], 0x52);
  EXPECT_EQ(config.mac[1], 0x54);
}

TEST(NetDevice, RefusesAMulticastMac) {
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  NetOptions options;
  options.mac = MacAddress{1, 0, 0, 0, 0, 1};

  auto device = NetDevice::Create(options, std::make_unique<FakeBackend>(),
                                  {loop->get()});

  EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(NetDevice, ConfigReadBeyondTheEndGivesZeroes) {
  NetHarness net;
  std::array<std::byte, 8> data{};
  data.fill(std::byte{0xff});

  net.device->ReadConfig(10, data);

  EXPECT_EQ(data, (std::array<std::byte, 8>{}));
}

TEST(NetDevice, NegotiatedOffloadsReachTheBackend) {
  NetHarness net;

  ASSERT_TRUE(net.Activate(NetHarness::kUsual | kNetGuestChecksum |
                           kNetGuestTso4 | kNetGuestEcn)
                  .ok());

  EXPECT_EQ(net.backend->offloads_set,
            uint32_t{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN});
}

TEST(NetDevice, SegmentationWithoutChecksumsIsNotAskedFor) {
  NetHarness net;

  ASSERT_TRUE(net.Activate(NetHarness::kUsual | kNetGuestTso4).ok());

  EXPECT_EQ(net.backend->offloads_set, 0u);
}

TEST(NetDevice, BackendErrorFailsActivation) {
  NetHarness net;
  net.backend->refuse = true;

  EXPECT_FALSE(net.Activate().ok());
}

TEST(NetControlQueue, SetsTheMacUntilReset) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  const auto ack = net.Command(MakeCommand({1, 1, 2, 4, 6, 8, 10, 12}));

  EXPECT_EQ(ack, kNetAckOk);
  EXPECT_EQ(net.Config().mac, (MacAddress{2, 4, 6, 8, 10, 12}));
  net.device->Reset();
  EXPECT_EQ(net.Config().mac, (MacAddress{0x52, 0x54, 0x00, 1, 2, 3}));
}

TEST(NetControlQueue, AcceptsReceiveFilters) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  EXPECT_EQ(net.Command(MakeCommand({0, 0, 1})), kNetAckOk);
  EXPECT_EQ(net.Command(MakeCommand({0, 1, 0})), kNetAckOk);
  EXPECT_EQ(net.Command(
                MakeCommand({1, 0, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0})),
            kNetAckOk);
}

TEST(NetControlQueue, RefusesAMacTableLongerThanItsData) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  EXPECT_EQ(net.Command(MakeCommand({1, 0, 0xff, 0xff, 0xff, 0xff, 1, 1})),
            kNetAckError);
}

TEST(NetControlQueue, RefusesUnknownAndShortCommands) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  EXPECT_EQ(net.Command(MakeCommand({0})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({0, 0})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({0, 5, 1})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({1, 1, 2, 4})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({1, 9, 2, 4, 6, 8, 10, 12})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({2, 0, 1, 0})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({0xff, 0xff})), kNetAckError);
}

TEST(NetControlQueue, RefusesWhatWasNotNegotiated) {
  NetHarness net;
  ASSERT_TRUE(
      net.Activate(NetHarness::kUsual & ~(kNetControlRx | kNetControlMac))
          .ok());

  EXPECT_EQ(net.Command(MakeCommand({0, 0, 1})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({1, 1, 2, 4, 6, 8, 10, 12})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({4, 0, 1, 0})), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({5, 0, 0, 0, 0, 0, 0, 0, 0, 0})),
            kNetAckError);
}

TEST(NetControlQueue, ChainWithoutRoomForTheAnswerNeedsReset) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  net.driver(2).Readable(MakeCommand({0, 0, 1})).Submit();
  net.Kick(2);
  net.Pump();

  EXPECT_EQ(net.events.resets, 1);
}

TEST(NetControlQueue, ManyCommandsAreAllServed) {
  NetHarness net;
  ASSERT_TRUE(net.Activate().ok());

  for (int i = 0; i < 30; ++i) {
    net.driver(2).Readable(MakeCommand({0, 0, 1})).Writable(1).Submit();
  }
  net.Kick(2);
  net.Pump();

  EXPECT_EQ(net.driver(2).used_index(), 30);
}

TEST(NetControlQueue, OffloadsCanBeSwitchedWithinWhatWasNegotiated) {
  NetHarness net;
  ASSERT_TRUE(net.Activate(NetHarness::kUsual | kNetControlGuestOffloads |
                           kNetGuestChecksum | kNetGuestTso4)
                  .ok());

  // GUEST_CSUM alone; then GUEST_TSO6, which was not negotiated.
  EXPECT_EQ(net.Command(MakeCommand({5, 0, 2, 0, 0, 0, 0, 0, 0, 0})),
            kNetAckOk);
  EXPECT_EQ(net.backend->offloads_set, uint32_t{TUN_F_CSUM});
  EXPECT_EQ(net.Command(MakeCommand({5, 0, 2, 1, 0, 0, 0, 0, 0, 0})),
            kNetAckError);
}

TEST(NetMultiQueue, StartsWithOnePair) {
  NetHarness net(4);

  ASSERT_TRUE(net.Activate(NetHarness::kUsual | kNetMultiQueue).ok());

  EXPECT_NE(net.device->device_features() & kNetMultiQueue, 0u);
  EXPECT_EQ(net.device->queue_sizes().size(), 9u);
  EXPECT_EQ(net.Config().max_pairs, 4);
  EXPECT_EQ(net.backend->active_ports, 1);
}

TEST(NetMultiQueue, MorePairsCarryTraffic) {
  NetHarness net(4);
  ASSERT_TRUE(net.Activate(NetHarness::kUsual | kNetMultiQueue).ok());
  net.driver(6).Writable(2048).Submit();

  ASSERT_EQ(net.Command(MakeCommand({4, 0, 4, 0}), 8), kNetAckOk);
  net.port(3).Arrive(WithHeader(Pattern(60)));
  net.driver(5).Readable(WithHeader(Pattern(70))).Submit();
  net.Kick(5);
  net.Pump();

  EXPECT_EQ(net.backend->active_ports, 4);
  EXPECT_EQ(net.driver(6).used_index(), 1);
  EXPECT_EQ(net.port(2).sent.size(), 1u);
}

TEST(NetMultiQueue, SilencedPairLosesPacketsAndReadsNone) {
  NetHarness net(2);
  ASSERT_TRUE(net.Activate(NetHarness::kUsual | kNetMultiQueue).ok());
  ASSERT_EQ(net.Command(MakeCommand({4, 0, 2, 0}), 4), kNetAckOk);
  ASSERT_EQ(net.Command(MakeCommand({4, 0, 1, 0}), 4), kNetAckOk);

  net.driver(2).Writable(2048).Submit();
  net.driver(3).Readable(WithHeader(Pattern(70))).Submit();
  net.port(1).Arrive(WithHeader(Pattern(60)));
  net.Kick(2);
  net.Kick(3);
  net.Pump();

  EXPECT_EQ(net.driver(2).used_index(), 0);
  EXPECT_EQ(net.driver(3).used_index(), 1);
  EXPECT_TRUE(net.port(1).sent.empty());
}

TEST(NetMultiQueue, RefusesImpossiblePairCounts) {
  NetHarness net(2);
  ASSERT_TRUE(net.Activate(NetHarness::kUsual | kNetMultiQueue).ok());

  EXPECT_EQ(net.Command(MakeCommand({4, 0, 0, 0}), 4), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({4, 0, 3, 0}), 4), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({4, 0, 0xff, 0xff}), 4), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({4, 0, 1}), 4), kNetAckError);
  EXPECT_EQ(net.Command(MakeCommand({4, 1, 1, 0}), 4), kNetAckError);
}

TEST(NetMultiQueue, WithoutTheFeatureTheControlQueueIsTheThird) {
  NetHarness net(2);
  ASSERT_TRUE(net.Activate(NetHarness::kUsual).ok());

  EXPECT_EQ(net.Command(MakeCommand({0, 0, 1}), 2), kNetAckOk);
}

}  // namespace
}  // namespace kvmlet::virtio
