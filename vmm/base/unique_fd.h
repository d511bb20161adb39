// SPDX-License-Identifier: Apache-2.0
// Owner of one file descriptor: closes it when it dies, moves but never
// copies. Not thread-safe; get() may be used by any thread while it lives.
#ifndef KVMLET_VMM_BASE_UNIQUE_FD_H_
#define KVMLET_VMM_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace kvmlet {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_UNIQUE_FD_H_
