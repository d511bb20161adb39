// SPDX-License-Identifier: Apache-2.0
// A listening TCP socket on one numeric address of this host. Every fd is
// non-blocking. Not thread-safe. tcp(7).
#ifndef KVMLET_VMM_BASE_TCP_SOCKET_H_
#define KVMLET_VMM_BASE_TCP_SOCKET_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

// `flag` is the name used in errors ("--gdb").
absl::StatusOr<UniqueFd> ListenTcp(std::string_view flag,
                                   const std::string& host, uint16_t port);
// Small writes leave at once; not a TCP socket is fine.
void SendAtOnce(int fd);

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_TCP_SOCKET_H_
