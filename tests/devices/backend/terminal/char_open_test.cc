// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/char_open.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "tests/devices/backend/terminal/stream_fixture.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

class CharOpenTest : public StreamTest {
 protected:
  CharOpenTest() {
    std::string name = testing::TempDir() + "/charXXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~CharOpenTest() override {
    stream_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Use(absl::StatusOr<std::unique_ptr<CharStream>> stream) {
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *std::move(stream);
    Connect(*stream_);
    thread_->Start();
  }
  std::string path() const { return folder_ + "/serial"; }
  UniqueFd ConnectClient() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().c_str(), path().size());
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                        sizeof(address)),
              0);
    return fd;
  }
  // Writes until the client that just connected hears it.
  bool WaitUntilHeard(int client) {
    return WaitFor([&] {
      stream_->Write(Bytes("?\n"));
      return !ReadSome(client, 2, 1).empty();
    });
  }
  void OpenPty() {
    testing::internal::CaptureStderr();
    auto stream = OpenPtyChar(loop());
    const std::string said = testing::internal::GetCapturedStderr();
    Use(std::move(stream));
    const size_t at = said.find("/dev/");
    ASSERT_NE(at, said.npos) << said;
    pty_ = said.substr(at, said.find('\n') - at);
  }
  UniqueFd OpenSlave() const {
    return UniqueFd(::open(pty_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  }

  std::string folder_;
  std::string pty_;
  std::unique_ptr<CharStream> stream_;
};

TEST_F(CharOpenTest, NullTakesEverything) {
  Use(OpenNullChar(loop()));
  for (int i = 0; i < 1000; ++i) stream_->Write(Bytes("nothing\n"));
}

TEST_F(CharOpenTest, AFileIsTruncatedAndWritten) {
  std::ofstream(path()) << "old content";
  Use(OpenFileChar(loop(), "--serial", path()));
  stream_->Write(Bytes("new\n"));
  stream_->Close();
  std::ifstream in(path());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "new\n");
}

TEST_F(CharOpenTest, AFileThatCannotBeOpenedIsNamed) {
  const auto missing = OpenFileChar(loop(), "--serial", folder_ + "/nowhere/x");
  EXPECT_EQ(ExitStatusFor(missing.status()), 66);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("--serial file:" + folder_));
  EXPECT_EQ(ExitStatusFor(OpenFileChar(loop(), "--serial", folder_).status()),
            66);
}

TEST_F(CharOpenTest, AUnixClientReadsAndTypes) {
  Use(OpenUnixChar(loop(), "--serial", path()));
  stream_->Write(Bytes("before anybody listens\n"));
  const UniqueFd client = ConnectClient();
  ASSERT_EQ(::write(client.get(), "typed", 5), 5);
  EXPECT_TRUE(WaitForInput("typed"));
  stream_->Write(Bytes("hello\n"));
  EXPECT_EQ(ReadSome(client.get(), 6), "hello\n");
}

TEST_F(CharOpenTest, ASecondUnixClientComesAfterTheFirst) {
  Use(OpenUnixChar(loop(), "--serial", path()));
  UniqueFd first = ConnectClient();
  ASSERT_TRUE(WaitUntilHeard(first.get()));
  first.Reset();
  const UniqueFd second = ConnectClient();
  EXPECT_TRUE(WaitUntilHeard(second.get()));
}

TEST_F(CharOpenTest, ANewUnixClientTakesOverFromAStaleOne) {
  Use(OpenUnixChar(loop(), "--serial", path()));
  const UniqueFd stale = ConnectClient();
  ASSERT_TRUE(WaitUntilHeard(stale.get()));
  std::atomic<bool> stop{false};
  std::thread guest([&] {
    const std::string line(1000, 'x');
    while (!stop) stream_->Write(Bytes(line + "\n"));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const UniqueFd client = ConnectClient();
  EXPECT_EQ(ReadSome(client.get(), 100'000).size(), 100'000u);
  stop = true;
  stream_->Hurry(true);
  guest.join();
}

TEST_F(CharOpenTest, AUnixSocketLeavesNoFile) {
  Use(OpenUnixChar(loop(), "--serial", path()));
  EXPECT_TRUE(std::filesystem::exists(path()));
  thread_->Stop();
  stream_.reset();
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(CharOpenTest, APtyPassesBytesAsTheyAre) {
  OpenPty();
  const UniqueFd client = OpenSlave();
  ASSERT_TRUE(client.ok());
  stream_->Write(Bytes("a\r\nb\x03\n"));
  EXPECT_EQ(ReadSome(client.get(), 6), "a\r\nb\x03\n");
  ASSERT_EQ(::write(client.get(), "x\x04\r", 3), 3);
  EXPECT_TRUE(WaitForInput("x\x04\r"));
}

TEST_F(CharOpenTest, APtyDoesNotEchoTheGuestsOutput) {
  OpenPty();
  const UniqueFd client = OpenSlave();
  stream_->Write(Bytes("login: \n"));
  EXPECT_EQ(ReadSome(client.get(), 8), "login: \n");
  ASSERT_EQ(::write(client.get(), "!", 1), 1);
  EXPECT_TRUE(WaitForInput("!"));
}

TEST_F(CharOpenTest, APtyNobodyListensToDropsOutput) {
  OpenPty();
  const std::string line(1000, 'x');
  for (int i = 0; i < 300; ++i) stream_->Write(Bytes(line + "\n"));
  const UniqueFd client = OpenSlave();
  stream_->Write(Bytes("now\n"));
  EXPECT_EQ(ReadSome(client.get(), 4), "now\n");
}

TEST_F(CharOpenTest, APtysNextClientIsHeard) {
  OpenPty();
  UniqueFd first = OpenSlave();
  ASSERT_EQ(::write(first.get(), "1", 1), 1);
  ASSERT_TRUE(WaitForInput("1"));
  first.Reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const UniqueFd second = OpenSlave();
  ASSERT_EQ(::write(second.get(), "2", 1), 1);
  EXPECT_TRUE(WaitForInput("12"));
}

}  // namespace
}  // namespace kvmlet
