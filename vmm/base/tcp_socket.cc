// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/tcp_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_format.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"

namespace kvmlet {

absl::StatusOr<UniqueFd> ListenTcp(std::string_view flag,
                                   const std::string& host, uint16_t port) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const bool is_v4 = ::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && ::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) {
    return UsageError(
        absl::StrFormat("%s: '%s' is not an address", flag, host));
  }
  UniqueFd fd(::socket(is_v4 ? AF_INET : AF_INET6,
                       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return PosixError(errno, "create a TCP socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const auto* address = is_v4 ? reinterpret_cast<const sockaddr*>(&v4)
                              : reinterpret_cast<const sockaddr*>(&v6);
  const socklen_t size = is_v4 ? sizeof(v4) : sizeof(v6);
  if (::bind(fd.get(), address, size) != 0 || ::listen(fd.get(), 4) != 0) {
    return PosixError(
        errno, absl::StrFormat("%s: listen on %s, port %d", flag, host, port));
  }
  return fd;
}

void SendAtOnce(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace kvmlet
