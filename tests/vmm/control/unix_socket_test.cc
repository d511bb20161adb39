// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/unix_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "tests/vmm/control/test_vm.h"

namespace kvmlet {
namespace {

using ::testing::HasSubstr;

class UnixSocketTest : public ::testing::Test {
 protected:
  bool Exists() const { return ::access(path_.c_str(), F_OK) == 0; }
  std::string Error(const std::string& path) const {
    return std::string(UnixListener::Create("--qmp", path).status().message());
  }
  static auto Soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(5);
  }

  TempFolder folder_;
  std::string path_ = folder_.File("s");
};

TEST_F(UnixSocketTest, SocketIsForItsOwnerOnly) {
  const mode_t before = ::umask(0);
  const auto listener = UnixListener::Create("--qmp", path_);
  ::umask(before);
  ASSERT_TRUE(listener.ok());
  struct stat info {};
  ASSERT_EQ(::lstat(path_.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(UnixSocketTest, PathGoesWithTheListener) {
  {
    auto listener = UnixListener::Create("--qmp", path_);
    ASSERT_TRUE(listener.ok());
    const UnixListener moved = *std::move(listener);
    EXPECT_TRUE(Exists());
  }
  EXPECT_FALSE(Exists());
}

TEST_F(UnixSocketTest, LeavesAnotherFileAlone) {
  {
    const auto listener = UnixListener::Create("--qmp", path_);
    ASSERT_TRUE(listener.ok());
    ASSERT_EQ(::unlink(path_.c_str()), 0);
    std::ofstream(path_) << "mine";
  }
  EXPECT_TRUE(Exists());
}

TEST_F(UnixSocketTest, ReplacesSocketOfDeadServer) {
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address),
                     sizeof(address)),
              0);
  }
  ASSERT_TRUE(Exists());
  const auto listener = UnixListener::Create("--qmp", path_);
  ASSERT_TRUE(listener.ok());
  EXPECT_TRUE(ConnectUnix(path_, Soon()).ok());
}

TEST_F(UnixSocketTest, RefusesSocketOfLiveServer) {
  const auto first = UnixListener::Create("--qmp", path_);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Error(path_), HasSubstr("--qmp: another process listens"));
  EXPECT_TRUE(ConnectUnix(path_, Soon()).ok());
}

TEST_F(UnixSocketTest, RefusesFileThatIsNoSocket) {
  std::ofstream(path_) << "precious";
  EXPECT_THAT(Error(path_), HasSubstr("is not a socket"));
  EXPECT_TRUE(Exists());
}

TEST_F(UnixSocketTest, LongPathNamesFlagAndLimit) {
  EXPECT_THAT(Error(std::string(108, 'p')),
              ::testing::AllOf(HasSubstr("--qmp"), HasSubstr("107")));
  EXPECT_THAT(Error(""), HasSubstr("--qmp"));
}

TEST_F(UnixSocketTest, LongestPathWorks) {
  std::string path = folder_.File("");
  path.append(107 - path.size(), 'p');
  const auto listener = UnixListener::Create("--qmp", path);
  ASSERT_TRUE(listener.ok());
  EXPECT_TRUE(ConnectUnix(path, Soon()).ok());
}

TEST_F(UnixSocketTest, MissingFolderIsNamed) {
  EXPECT_THAT(Error(folder_.File("none/s")),
              ::testing::AllOf(HasSubstr("none/s"), HasSubstr("ENOENT")));
}

TEST_F(UnixSocketTest, PeerOfSameUserMayControl) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd left(ends[0]);
  const UniqueFd right(ends[1]);
  EXPECT_TRUE(PeerMayControl(left.get()));
}

TEST_F(UnixSocketTest, PeerOfAPipeMayNot) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd left(ends[0]);
  const UniqueFd right(ends[1]);
  EXPECT_FALSE(PeerMayControl(left.get()));
}

}  // namespace
}  // namespace kvmlet
