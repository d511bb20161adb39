// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr int kBacklog = 16;
constexpr mode_t kOwnerOnly = 0600;

absl::StatusOr<sockaddr_un> Address(std::string_view flag,
                                    const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The last byte stays zero.
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return UsageError(absl::StrFormat(
        "%s: a socket path has 1 to %d bytes, this one has %d: choose a "
        "shorter one",
        flag, sizeof(address.sun_path) - 1, path.size()));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return PosixError(errno, "create a unix socket");
  return fd;
}

int Connect(int fd, const sockaddr_un& address) {
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  return ::connect(fd, generic, sizeof(address)) == 0 ? 0 : errno;
}

int Bind(int fd, const sockaddr_un& address) {
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  return ::bind(fd, generic, sizeof(address)) == 0 ? 0 : errno;
}

// Removes a socket nobody listens on; an error when it must stay.
absl::Status RemoveStale(std::string_view flag, const std::string& path,
                         const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return PosixError(errno, absl::StrFormat("%s: look at %s", flag, path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return UsageError(absl::StrFormat(
        "%s: %s exists and is not a socket: choose another path", flag, path));
  }
  KVMLET_ASSIGN_OR_RETURN(const UniqueFd probe, NewSocket());
  const int error = Connect(probe.get(), address);
  if (error != ECONNREFUSED && error != ENOENT) {
    return UsageError(absl::StrFormat(
        "%s: another process listens on %s: choose another path", flag, path));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return PosixError(errno,
                      absl::StrFormat("%s: remove stale %s", flag, path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UnixListener> UnixListener::Create(std::string_view flag,
                                                  const std::string& path) {
  KVMLET_ASSIGN_OR_RETURN(const sockaddr_un address, Address(flag, path));
  KVMLET_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  // The socket's own mode becomes the file's, so that there is no moment at
  // which others may connect, and no process-wide umask to change for it.
  if (::fchmod(fd.get(), kOwnerOnly) != 0) {
    return PosixError(errno, absl::StrFormat("%s: fchmod", flag));
  }
  int error = Bind(fd.get(), address);
  if (error == EADDRINUSE) {
    KVMLET_RETURN_IF_ERROR(RemoveStale(flag, path, address));
    error = Bind(fd.get(), address);
  }
  if (error != 0) {
    return PosixError(error,
                      absl::StrFormat("%s: create socket %s", flag, path));
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return PosixError(errno, absl::StrFormat("%s: look at %s", flag, path));
  }
  UnixListener listener(std::move(fd), path, info.st_dev, info.st_ino);
  if (::listen(listener.get(), kBacklog) != 0) {
    return PosixError(errno, absl::StrFormat("%s: listen on %s", flag, path));
  }
  return listener;
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

UnixListener::~UnixListener() {
  if (path_.empty()) return;
  struct stat info {};
  if (::lstat(path_.c_str(), &info) != 0) return;
  if (info.st_dev == device_ && info.st_ino == inode_) ::unlink(path_.c_str());
}

absl::StatusOr<UniqueFd> ConnectUnix(
    const std::string& path, std::chrono::steady_clock::time_point deadline) {
  KVMLET_ASSIGN_OR_RETURN(const sockaddr_un address, Address("socket", path));
  KVMLET_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  int error = Connect(fd.get(), address);
  while (error == EAGAIN && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    error = Connect(fd.get(), address);
  }
  if (error != 0) {
    return PosixError(error, absl::StrFormat("connect to %s", path));
  }
  return fd;
}

bool PeerMayControl(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return false;
  }
  return peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace kvmlet
