// SPDX-License-Identifier: Apache-2.0
// A real tap in a network namespace of the test's own. Skipped, with the
// reason, where the process may not have one.
#include "devices/backend/tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "tests/devices/backend/net/port_io.h"

namespace kvmlet {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Of the experimental range, so that nothing else on the wire has it.
constexpr uint16_t kEtherType = 0x88b5;

// Empty, or why there is no namespace in which this process may make taps.
std::string EnterNamespace() {
  if (::unshare(CLONE_NEWNET) != 0 &&
      ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return "no network namespace for this user";
  }
  const UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  return tun.ok() ? "" : "no access to /dev/net/tun";
}

class TapTest : public testing::Test {
 protected:
  void SetUp() override {
    static const std::string why_not = EnterNamespace();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
  }

  static NetOptions Options(const std::string& tap, uint16_t pairs = 1) {
    NetOptions options;
    options.tap = tap;
    options.queue_pairs = pairs;
    options.vhost = false;
    return options;
  }

  // The host's side of the interface.
  static UniqueFd PacketSocket(const std::string& tap) {
    UniqueFd socket(::socket(AF_PACKET, SOCK_RAW, htons(kEtherType)));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kEtherType);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(tap.c_str()));
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address),
                     sizeof(address)),
              0);
    return socket;
  }

  static Bytes TestFrame(size_t length) {
    Bytes frame = Frame(length);
    std::memset(frame.data(), 0xff, 6);
    frame[6] = std::byte{2};
    frame[12] = std::byte{kEtherType >> 8};
    frame[13] = std::byte{kEtherType & 0xff};
    return frame;
  }

  // The first frame of our type; the kernel announces itself in between.
  static Bytes NextFrame(NetPort& port) {
    while (true) {
      const Received received = WaitForFrame(port, milliseconds(3000));
      if (received.result != NetResult::kDone) return {};
      if (received.frame.size() > 14 &&
          received.frame[12] == std::byte{kEtherType >> 8} &&
          received.frame[13] == std::byte{kEtherType & 0xff}) {
        return received.frame;
      }
    }
  }
};

TEST_F(TapTest, CreatesTheInterfaceAndMovesFramesBothWays) {
  auto backend = OpenTap(Options("kvmt0"));
  ASSERT_TRUE(backend.ok()) << backend.status();
  const UniqueFd host = PacketSocket("kvmt0");
  const Bytes out = TestFrame(100);

  EXPECT_EQ(SendFrame((*backend)->port(0), out).result, NetResult::kDone);
  Bytes seen(2000);
  seen.resize(
      static_cast<size_t>(::recv(host.get(), seen.data(), seen.size(), 0)));
  const Bytes in = TestFrame(900);
  ASSERT_EQ(::send(host.get(), in.data(), in.size(), 0), 900);

  EXPECT_EQ(seen, out);
  EXPECT_EQ(NextFrame((*backend)->port(0)), in);
}

TEST_F(TapTest, OffersOffloadsAndTakesAnyOfThem) {
  auto backend = OpenTap(Options("kvmt0"));
  ASSERT_TRUE(backend.ok()) << backend.status();

  EXPECT_NE((*backend)->offloads() & TUN_F_TSO4, 0u);
  EXPECT_TRUE((*backend)->SetOffloads(TUN_F_CSUM).ok());
  EXPECT_TRUE((*backend)->SetOffloads(TUN_F_CSUM | TUN_F_TSO6).ok());
  EXPECT_TRUE((*backend)->SetOffloads(0).ok());
}

TEST_F(TapTest, HeaderThatTheKernelRefusesLosesThePacket) {
  auto backend = OpenTap(Options("kvmt0"));
  ASSERT_TRUE(backend.ok()) << backend.status();
  Bytes packet(kNetHeaderSize, std::byte{0xff});
  const Bytes frame = TestFrame(100);
  packet.insert(packet.end(), frame.begin(), frame.end());
  const iovec part{packet.data(), packet.size()};

  EXPECT_EQ((*backend)->port(0).Send({&part, 1}).result, NetResult::kDropped);
}

TEST_F(TapTest, SeveralQueuesCanBeSilencedAndBack) {
  auto backend = OpenTap(Options("kvmt1", 4));
  ASSERT_TRUE(backend.ok()) << backend.status();
  ASSERT_EQ((*backend)->port_count(), 4);

  ASSERT_TRUE((*backend)->SetActivePorts(1).ok());
  ASSERT_TRUE((*backend)->SetActivePorts(3).ok());
  ASSERT_TRUE((*backend)->SetActivePorts(1).ok());

  const UniqueFd host = PacketSocket("kvmt1");
  for (int i = 0; i < 8; ++i) {
    const Bytes in = TestFrame(200);
    ASSERT_EQ(::send(host.get(), in.data(), in.size(), 0), 200);
    EXPECT_EQ(NextFrame((*backend)->port(0)), in);
  }
}

TEST_F(TapTest, InterfaceInUseSaysSo) {
  auto first = OpenTap(Options("kvmt0"));
  ASSERT_TRUE(first.ok()) << first.status();

  auto second = OpenTap(Options("kvmt0"));

  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another process uses it"));
}

TEST_F(TapTest, InterfaceThatIsNoTapSaysSo) {
  auto backend = OpenTap(Options("lo"));

  EXPECT_THAT(std::string(backend.status().message()),
              HasSubstr("--net tap=lo: not a tap interface"));
}

TEST_F(TapTest, OpenedDescriptorIsTakenOver) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK));
  ifreq request{};
  std::strcpy(request.ifr_name, "kvmt2");
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  ASSERT_EQ(::ioctl(fd.get(), TUNSETIFF, &request), 0);
  NetOptions options;
  options.kind = NetOptions::Kind::kFd;
  options.fd = fd.Release();
  options.vhost = false;

  auto backend = OpenNetBackend(options);

  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_NE((*backend)->offloads(), 0u);
}

TEST_F(TapTest, DescriptorOfATunIsRefused) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK));
  ifreq request{};
  std::strcpy(request.ifr_name, "kvmt3");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  ASSERT_EQ(::ioctl(fd.get(), TUNSETIFF, &request), 0);
  NetOptions options;
  options.kind = NetOptions::Kind::kFd;
  options.fd = fd.Release();

  EXPECT_THAT(std::string(OpenNetBackend(options).status().message()),
              HasSubstr("IFF_TAP"));
}

}  // namespace
}  // namespace kvmlet
