// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/packet_port.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/devices/backend/net/port_io.h"

namespace kvmlet {
namespace {

class PacketPortTest : public testing::Test {
 protected:
  void SetUp() override {
    int sockets[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    port_ = std::make_unique<PacketPort>(UniqueFd(sockets[0]),
                                         PacketPort::Kind::kSocket);
    peer_.Reset(sockets[1]);
  }
  void PeerWrites(const Bytes& bytes) {
    ASSERT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

  std::unique_ptr<PacketPort> port_;
  UniqueFd peer_;
};

TEST_F(PacketPortTest, SendLeavesTheHeaderOut) {
  EXPECT_EQ(SendFrame(*port_, Frame(100)).result, NetResult::kDone);

  Bytes got(2000);
  const ssize_t n = ::recv(peer_.get(), got.data(), got.size(), 0);
  got.resize(static_cast<size_t>(n));
  EXPECT_EQ(got, Frame(100));
}

TEST_F(PacketPortTest, ReceiveAddsAZeroHeader) {
  PeerWrites(Frame(100));

  const Received received = ReceiveFrame(*port_);

  EXPECT_EQ(received.frame, Frame(100));
  EXPECT_EQ(received.header, Bytes(kNetHeaderSize));
}

TEST_F(PacketPortTest, NothingToReadIsAgain) {
  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kAgain);
}

TEST_F(PacketPortTest, CutPacketIsDropped) {
  PeerWrites(Frame(1000));
  PeerWrites(Frame(60));
  Bytes small(100);
  const iovec part{small.data(), small.size()};

  EXPECT_EQ(port_->Receive({&part, 1}).result, NetResult::kDropped);
  EXPECT_EQ(ReceiveFrame(*port_).frame, Frame(60));
}

TEST_F(PacketPortTest, HeaderWithoutAFrameIsDropped) {
  EXPECT_EQ(SendFrame(*port_, {}).result, NetResult::kDropped);
}

TEST_F(PacketPortTest, UnreadableMemoryIsDropped) {
  const iovec parts[] = {{nullptr, kNetHeaderSize + 100}};

  EXPECT_EQ(port_->Send(parts).result, NetResult::kDropped);
}

TEST_F(PacketPortTest, GonePeerClosesThePort) {
  peer_.Reset();

  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kClosed);
  EXPECT_EQ(SendFrame(*port_, Frame(60)).result, NetResult::kClosed);
}

TEST(Iovecs, SkipAndCopyAgreeAboutOffsets) {
  std::array<std::byte, 4> first{};
  std::array<std::byte, 4> second{};
  const iovec parts[] = {{first.data(), 4}, {second.data(), 4}};
  std::vector<iovec> rest;

  EXPECT_EQ(CopyToIovecs(parts, 3, Frame(9)), 5u);
  SkipIovecs(parts, 5, rest);

  EXPECT_EQ(first[2], std::byte{0});
  EXPECT_EQ(first[3], Frame(9)[0]);
  EXPECT_EQ(second[3], Frame(9)[4]);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].iov_base, second.data() + 1);
  EXPECT_EQ(TotalBytes(rest), 3u);
}

}  // namespace
}  // namespace kvmlet
