// SPDX-License-Identifier: Apache-2.0
// Unix stream sockets of the monitor: listen on a path that only its
// owner may use, connect to one, and tell who is at the other end. Every fd is
// non-blocking. Not thread-safe. unix(7).
#ifndef KVMLET_VMM_BASE_UNIX_SOCKET_H_
#define KVMLET_VMM_BASE_UNIX_SOCKET_H_

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

// Removes its path when it dies, unless another file stands there by then.
class UnixListener {
 public:
  // A socket left by a dead process is replaced; one that a live process
  // listens on, or a file of another kind, is an error. `flag` is the name
  // used in errors ("--qmp").
  static absl::StatusOr<UnixListener> Create(std::string_view flag,
                                             const std::string& path);

  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  int get() const { return fd_.get(); }

 private:
  UnixListener(UniqueFd fd, std::string path, dev_t device, ino_t inode)
      : fd_(std::move(fd)),
        path_(std::move(path)),
        device_(device),
        inode_(inode) {}

  UniqueFd fd_;
  std::string path_;  // empty after a move
  dev_t device_;
  ino_t inode_;
};

// Waits until the deadline for a listener with a full queue, not for one that
// is not there.
absl::StatusOr<UniqueFd> ConnectUnix(
    const std::string& path, std::chrono::steady_clock::time_point deadline);

// True when the peer runs as the same user as this process, or as root.
bool PeerMayControl(int fd);

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_UNIX_SOCKET_H_
