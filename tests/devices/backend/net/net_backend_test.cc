// SPDX-License-Identifier: Apache-2.0
// What OpenNetBackend says about options it cannot serve.
#include "devices/backend/net_backend.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/devices/backend/net/port_io.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

NetOptions FdOptions(int fd) {
  NetOptions options;
  options.kind = NetOptions::Kind::kFd;
  options.fd = fd;
  return options;
}

std::string ErrorOf(const NetOptions& options) {
  return std::string(OpenNetBackend(options).status().message());
}

TEST(OpenNetBackend, StreamSocketIsFramed) {
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const UniqueFd peer(sockets[1]);

  auto backend = OpenNetBackend(FdOptions(sockets[0]));

  ASSERT_TRUE(backend.ok()) << backend.status();
  SendFrame((*backend)->port(0), Frame(60));
  Bytes got(100);
  EXPECT_EQ(::recv(peer.get(), got.data(), got.size(), 0), 64);
  EXPECT_EQ((*backend)->offloads(), 0u);
  EXPECT_EQ((*backend)->port(0).vhost(), nullptr);
}

TEST(OpenNetBackend, SeqpacketSocketIsNot) {
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
  const UniqueFd peer(sockets[1]);

  auto backend = OpenNetBackend(FdOptions(sockets[0]));

  ASSERT_TRUE(backend.ok()) << backend.status();
  SendFrame((*backend)->port(0), Frame(60));
  Bytes got(100);
  EXPECT_EQ(::recv(peer.get(), got.data(), got.size(), 0), 60);
}

TEST(OpenNetBackend, DescriptorThatIsNotOpen) {
  EXPECT_THAT(ErrorOf(FdOptions(987654)), HasSubstr("--net fd=987654"));
}

TEST(OpenNetBackend, DescriptorThatIsAFile) {
  EXPECT_THAT(ErrorOf(FdOptions(::open("/dev/null", O_RDWR))),
              HasSubstr("neither a tap nor a socket"));
}

TEST(OpenNetBackend, StandardStreamsAreNotTaken) {
  EXPECT_THAT(ErrorOf(FdOptions(0)), HasSubstr("above 2"));
}

TEST(OpenNetBackend, VhostNeedsATap) {
  NetOptions options;
  options.kind = NetOptions::Kind::kPasst;
  options.vhost = true;

  EXPECT_THAT(ErrorOf(options), HasSubstr("only a tap"));
}

TEST(OpenNetBackend, QueueCounts) {
  NetOptions options;
  options.kind = NetOptions::Kind::kPasst;
  options.queue_pairs = 2;
  EXPECT_THAT(ErrorOf(options), HasSubstr("only tap=NAME"));

  options.queue_pairs = 0;
  EXPECT_THAT(ErrorOf(options), HasSubstr("must be 1 to 16"));
}

TEST(OpenNetBackend, ImpossibleInterfaceNames) {
  NetOptions options;
  for (const char* name : {"", "sixteen-letters-", "a/b", "tap%d"}) {
    options.tap = name;
    EXPECT_THAT(ErrorOf(options), HasSubstr("interface name")) << name;
  }
}

}  // namespace
}  // namespace kvmlet
