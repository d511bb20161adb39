// SPDX-License-Identifier: Apache-2.0
// The serial port through every kind of backend.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SerialTest : public KvmletTest {
 protected:
  // Says "ready", sends back what is typed, and leaves at 'q'.
  std::string Echo() {
    GuestCode code;
    code.Print("ready\n");
    const uint32_t again = code.here();
    code.ReadSerial().EchoSerial().Compare('q').JumpIfNotEqual(again).Exit(5);
    return Kernel(code);
  }
  static std::string ReadUntil(int fd, std::string_view end) {
    std::string text;
    while (!text.ends_with(end)) {
      pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
      char c = 0;
      if (::poll(&p, 1, 20'000) <= 0 || ::read(fd, &c, 1) != 1) break;
      text.push_back(c);
    }
    return text;
  }
  static void Write(int fd, std::string_view text) {
    EXPECT_EQ(::write(fd, text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  UniqueFd Connect(const std::string& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                  sizeof(address)) != 0) {
      fd.Reset();
    }
    return fd;
  }
};

TEST_F(SerialTest, StandardOutputGetsWhatTheGuestPrints) {
  const Outcome outcome = Run({"--kernel", Payload("hello")});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "hello from the guest\n");
}

TEST_F(SerialTest, StandardInputReachesTheGuest) {
  const auto process = Start({"--kernel", Echo()});
  ASSERT_TRUE(process->WaitForOutput("ready\n"));
  process->Type("typed text that is longer than a FIFO, q");
  EXPECT_EQ(process->Wait(), 5) << process->err();
  EXPECT_EQ(process->out(), "ready\ntyped text that is longer than a FIFO, q");
}

TEST_F(SerialTest, InputFromBeforeTheGuestIsNotLost) {
  const auto process = Start({"--kernel", Echo()});
  process->Type("early q");
  process->CloseInput();
  EXPECT_EQ(process->Wait(), 5) << process->err();
  EXPECT_EQ(process->out(), "ready\nearly q");
}

TEST_F(SerialTest, InputMayBeAFile) {
  const std::string typed = File("typed", std::string(1000, '.') + "q");
  KvmletProcess process(RunArgs({"--kernel", Echo()}), [&typed] {
    const int fd = ::open(typed.c_str(), O_RDONLY);
    return ::dup2(fd, STDIN_FILENO) == STDIN_FILENO;
  });
  EXPECT_EQ(process.Wait(), 5) << process.err();
  EXPECT_EQ(process.out(), "ready\n" + std::string(1000, '.') + "q");
}

TEST_F(SerialTest, WithoutStandardInputTheGuestStillRuns) {
  KvmletProcess process(RunArgs({"--kernel", Payload("hello")}),
                        [] { return ::close(STDIN_FILENO) == 0; });
  EXPECT_EQ(process.Wait(), 0) << process.err();
  EXPECT_EQ(process.out(), "hello from the guest\n");
}

TEST_F(SerialTest, AFileGetsTheOutput) {
  const Outcome outcome =
      Run({"--kernel", Payload("hello"), "--serial", "file:" + Path("serial")});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  std::ifstream in(Path("serial"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}),
            "hello from the guest\n");
}

TEST_F(SerialTest, NullDropsTheOutput) {
  const Outcome outcome =
      Run({"--kernel", Payload("hello"), "--serial", "null"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
}

TEST_F(SerialTest, AUnixSocketCarriesBothWays) {
  const auto process =
      Start({"--kernel", Echo(), "--serial", "unix:" + Path("serial")});
  UniqueFd client;
  ASSERT_TRUE(process->WaitUntil([&] {
    client = Connect(Path("serial"));
    return client.ok();
  })) << process->err();
  Write(client.get(), "hello q");
  EXPECT_THAT(ReadUntil(client.get(), "q"), HasSubstr("hello q"));
  EXPECT_EQ(process->Wait(), 5) << process->err();
  EXPECT_THAT(Files(), ElementsAre("kernel", "verdict.json"));
}

TEST_F(SerialTest, ANewUnixClientTakesOver) {
  const auto process =
      Start({"--kernel", Echo(), "--serial", "unix:" + Path("serial")});
  UniqueFd first;
  ASSERT_TRUE(process->WaitUntil([&] {
    first = Connect(Path("serial"));
    return first.ok();
  }));
  Write(first.get(), "1");
  EXPECT_THAT(ReadUntil(first.get(), "1"), HasSubstr("1"));
  const UniqueFd second = Connect(Path("serial"));
  Write(second.get(), "2q");
  EXPECT_EQ(ReadUntil(second.get(), "q"), "2q");
  EXPECT_EQ(process->Wait(), 5) << process->err();
}

TEST_F(SerialTest, APtyCarriesBothWays) {
  const auto process = Start({"--kernel", Echo(), "--serial", "pty"});
  ASSERT_TRUE(process->WaitForError("\n"));
  const size_t at = process->err().find("/dev/");
  ASSERT_NE(at, std::string::npos) << process->err();
  const std::string name =
      process->err().substr(at, process->err().find('\n') - at);
  const UniqueFd client(::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(client.ok()) << name;
  Write(client.get(), "hello q");
  EXPECT_THAT(ReadUntil(client.get(), "q"), HasSubstr("hello q"));
  EXPECT_EQ(process->Wait(), 5) << process->err();
}

TEST_F(SerialTest, APtyNobodyListensToDoesNotStopTheGuest) {
  GuestCode code;
  code.Store32(GuestCode::kScratch, 0);
  const uint32_t again = code.here();
  code.Print("0123456789abcdef0123456789abcdef\n")
      .Increment(GuestCode::kScratch);
  // More than the 16 KiB that a pty holds.
  code.Load32(GuestCode::kScratch).Compare(800).JumpIfNotEqual(again).Exit(5);
  EXPECT_EQ(Run({"--kernel", Kernel(code), "--serial", "pty"}).status, 5);
}

}  // namespace
}  // namespace kvmlet
