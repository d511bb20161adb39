// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/stream_port.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>

#include "tests/devices/backend/net/port_io.h"

namespace kvmlet {
namespace {

class StreamPortTest : public testing::Test {
 protected:
  void SetUp() override {
    int sockets[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    port_ = std::make_unique<StreamPort>(UniqueFd(sockets[0]), "test peer");
    peer_.Reset(sockets[1]);
  }
  void PeerWrites(const Bytes& bytes) {
    ASSERT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  static Bytes Framed(uint32_t length, const Bytes& frame) {
    const uint32_t prefix = htonl(length);
    Bytes bytes(4);
    std::memcpy(bytes.data(), &prefix, 4);
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    return bytes;
  }
  static Bytes Framed(const Bytes& frame) {
    return Framed(static_cast<uint32_t>(frame.size()), frame);
  }
  Bytes PeerReads(size_t length) {
    Bytes bytes(length);
    const ssize_t n = ::recv(peer_.get(), bytes.data(), length, MSG_WAITALL);
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }

  std::unique_ptr<StreamPort> port_;
  UniqueFd peer_;
};

TEST_F(StreamPortTest, SendPutsTheLengthFirst) {
  const Bytes frame = Frame(100);

  EXPECT_EQ(SendFrame(*port_, frame).result, NetResult::kDone);

  EXPECT_EQ(PeerReads(104), Framed(frame));
}

TEST_F(StreamPortTest, ReceiveGivesAZeroHeaderAndTheFrame) {
  const Bytes frame = Frame(100);
  PeerWrites(Framed(frame));

  const Received received = ReceiveFrame(*port_);

  EXPECT_EQ(received.frame, frame);
  EXPECT_EQ(received.header, Bytes(kNetHeaderSize));
}

TEST_F(StreamPortTest, ManyFramesInOneReadComeOneByOne) {
  Bytes all;
  for (unsigned i = 0; i < 50; ++i) {
    const Bytes one = Framed(Frame(100 + i, i));
    all.insert(all.end(), one.begin(), one.end());
  }
  PeerWrites(all);

  for (unsigned i = 0; i < 50; ++i) {
    EXPECT_EQ(ReceiveFrame(*port_).frame, Frame(100 + i, i));
  }
  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kAgain);
}

TEST_F(StreamPortTest, FrameThatComesByteByByteIsPutTogether) {
  const Bytes frame = Frame(60);
  for (const std::byte b : Framed(frame)) {
    EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kAgain);
    PeerWrites({b});
  }

  EXPECT_EQ(ReceiveFrame(*port_).frame, frame);
}

TEST_F(StreamPortTest, LargestFramesPass) {
  for (unsigned i = 0; i < 5; ++i) {
    const Bytes frame = Frame(65535, i);
    PeerWrites(Framed(frame));
    PeerWrites(Framed(Frame(20)));

    EXPECT_EQ(ReceiveFrame(*port_).frame, frame);
    EXPECT_EQ(ReceiveFrame(*port_).frame, Frame(20));
  }
}

TEST_F(StreamPortTest, ImpossibleLengthClosesThePort) {
  PeerWrites(Framed(65536, Frame(100)));

  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kClosed);

  EXPECT_EQ(SendFrame(*port_, Frame(60)).result, NetResult::kClosed);
  EXPECT_TRUE(PeerReads(1).empty());
}

TEST_F(StreamPortTest, RuntsFromThePeerAreDropped) {
  PeerWrites(Framed({}));
  PeerWrites(Framed(Frame(13)));
  PeerWrites(Framed(Frame(60)));

  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kDropped);
  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kDropped);
  EXPECT_EQ(ReceiveFrame(*port_).frame, Frame(60));
}

TEST_F(StreamPortTest, FrameLargerThanTheBuffersIsDropped) {
  PeerWrites(Framed(Frame(1000)));
  PeerWrites(Framed(Frame(60)));
  Bytes small(100);
  const iovec part{small.data(), small.size()};

  EXPECT_EQ(port_->Receive({&part, 1}).result, NetResult::kDropped);
  EXPECT_EQ(ReceiveFrame(*port_).frame, Frame(60));
}

TEST_F(StreamPortTest, EndOfFileClosesThePortAfterTheLastFrame) {
  PeerWrites(Framed(Frame(60)));
  peer_.Reset();

  EXPECT_EQ(ReceiveFrame(*port_).frame, Frame(60));
  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kClosed);
  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kClosed);
}

TEST_F(StreamPortTest, EndOfFileInsideAFrameClosesThePort) {
  PeerWrites(Framed(100, Frame(40)));
  peer_.Reset();

  EXPECT_EQ(ReceiveFrame(*port_).result, NetResult::kClosed);
}

TEST_F(StreamPortTest, SendToAPeerThatIsGoneClosesThePort) {
  peer_.Reset();

  EXPECT_EQ(SendFrame(*port_, Frame(60)).result, NetResult::kClosed);
}

TEST_F(StreamPortTest, FramesOfImpossibleSizeAreNotSent) {
  EXPECT_EQ(SendFrame(*port_, Frame(13)).result, NetResult::kDropped);
  EXPECT_EQ(SendFrame(*port_, Frame(65536)).result, NetResult::kDropped);
  EXPECT_EQ(SendFrame(*port_, Frame(60)).result, NetResult::kDone);

  EXPECT_EQ(PeerReads(64), Framed(Frame(60)));
}

TEST_F(StreamPortTest, FullSocketKeepsFramesWhole) {
  std::vector<Bytes> sent;
  NetResult result = NetResult::kDone;
  while (result == NetResult::kDone) {
    const Bytes frame = Frame(60000, static_cast<unsigned>(sent.size()));
    result = SendFrame(*port_, frame).result;
    if (result == NetResult::kDone) sent.push_back(frame);
  }
  ASSERT_EQ(result, NetResult::kAgain);
  ASSERT_FALSE(sent.empty());

  // The peer takes everything; what was kept back follows.
  Bytes expected;
  for (const Bytes& frame : sent) {
    const Bytes one = Framed(frame);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  Bytes got;
  while (got.size() < expected.size()) {
    Bytes part(65536);
    const ssize_t n =
        ::recv(peer_.get(), part.data(), part.size(), MSG_DONTWAIT);
    if (n > 0) {
      got.insert(got.end(), part.begin(), part.begin() + n);
    } else {
      ASSERT_EQ(port_->Flush(), NetResult::kDone);
    }
  }
  EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace kvmlet
