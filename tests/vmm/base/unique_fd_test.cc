// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <utility>

namespace kvmlet {
namespace {

int OpenNull() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, ClosesWhenItDies) {
  int fd = -1;
  {
    const UniqueFd owner(OpenNull());
    fd = owner.get();
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
}

TEST(UniqueFdTest, MovingHandsOver) {
  UniqueFd from(OpenNull());
  const int fd = from.get();
  const UniqueFd to(std::move(from));
  EXPECT_EQ(to.get(), fd);
  EXPECT_TRUE(IsOpen(fd));
}

TEST(UniqueFdTest, AssignmentClosesTheOld) {
  UniqueFd one(OpenNull());
  UniqueFd two(OpenNull());
  const int closed = one.get();
  const int kept = two.get();
  one = std::move(two);
  EXPECT_FALSE(IsOpen(closed));
  EXPECT_EQ(one.get(), kept);
}

TEST(UniqueFdTest, ReleaseKeepsItOpen) {
  UniqueFd owner(OpenNull());
  const int fd = owner.Release();
  EXPECT_FALSE(owner.ok());
  EXPECT_TRUE(IsOpen(fd));
  ::close(fd);
}

}  // namespace
}  // namespace kvmlet
