// SPDX-License-Identifier: Apache-2.0
// passt as a child: with stand-ins that only live and die, and with the real
// program where it is installed and finds a network.
#include "devices/backend/passt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/devices/backend/net/port_io.h"

namespace kvmlet {
namespace {

using std::chrono::milliseconds;

void Put(Bytes& out, std::initializer_list<unsigned> bytes) {
  for (unsigned b : bytes) out.push_back(static_cast<std::byte>(b));
}

// An IPv4 header's checksum over whole 16-bit words.
unsigned Checksum(const Bytes& frame, size_t begin, size_t end) {
  unsigned sum = 0;
  for (size_t i = begin; i < end; i += 2) {
    sum += std::to_integer<unsigned>(frame[i]) << 8 |
           std::to_integer<unsigned>(frame[i + 1]);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

// A DHCP discover: Ethernet, IPv4, UDP 68 -> 67, 300 bytes of BOOTP.
Bytes DhcpDiscover() {
  Bytes frame(6, std::byte{0xff});
  Put(frame, {0x52, 0x54, 0, 1, 2, 3, 8, 0});
  Put(frame, {0x45, 0, 1, 72, 0, 1, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0});
  Put(frame, {255, 255, 255, 255});
  const unsigned sum = Checksum(frame, 14, 34);
  frame[24] = static_cast<std::byte>(sum >> 8);
  frame[25] = static_cast<std::byte>(sum & 0xff);
  Put(frame, {0, 68, 0, 67, 1, 52, 0, 0});
  Put(frame, {1, 1, 6, 0, 0, 0, 0x12, 0x34, 0, 0, 0x80, 0});
  frame.resize(frame.size() + 16);
  Put(frame, {0x52, 0x54, 0, 1, 2, 3});
  frame.resize(42 + 236);
  Put(frame, {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255});
  frame.resize(42 + 300);
  return frame;
}

TEST(Passt, MissingProgramNamesThePackage) {
  auto backend = OpenPasst("kvmlet-test-no-such-program");

  EXPECT_EQ(backend.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(backend.status().message(),
            "--net passt: passt is not installed (apt-get install passt)");
}

TEST(Passt, ProgramThatCannotRunIsAnError) {
  auto backend = OpenPasst("/dev/null");

  EXPECT_THAT(std::string(backend.status().message()),
              testing::HasSubstr("--net passt: run /dev/null"));
}

TEST(Passt, ChildThatEndsClosesThePort) {
  auto backend = OpenPasst("false");
  ASSERT_TRUE(backend.ok()) << backend.status();

  const Received received =
      WaitForFrame((*backend)->port(0), milliseconds(5000));

  EXPECT_EQ(received.result, NetResult::kClosed);
}

TEST(Passt, AnswersDhcp) {
  auto backend = OpenPasst();
  if (!backend.ok()) GTEST_SKIP() << backend.status().message();
  NetPort& port = (*backend)->port(0);
  ASSERT_EQ(SendFrame(port, DhcpDiscover()).result, NetResult::kDone);

  const Received received = WaitForFrame(port, milliseconds(10000));

  if (received.result == NetResult::kClosed) {
    GTEST_SKIP() << "passt does not run here (its message is above)";
  }
  ASSERT_EQ(received.result, NetResult::kDone);
  // From UDP port 67 to 68.
  ASSERT_GT(received.frame.size(), 42u + 236);
  EXPECT_EQ(received.frame[35], std::byte{67});
  EXPECT_EQ(received.frame[37], std::byte{68});
}

}  // namespace
}  // namespace kvmlet
