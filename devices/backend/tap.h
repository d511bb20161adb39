// SPDX-License-Identifier: Apache-2.0
// A tap interface as a network backend, with one port per queue, the offloads
// that the kernel knows and, where the host has it, vhost-net as data path.
// An interface that does not exist is created, when the process may do that.
//
// Threads: as NetBackend. Errors: one line that starts with "--net" and names
// the remedy. Specification: linux/if_tun.h.
#ifndef KVMLET_DEVICES_BACKEND_TAP_H_
#define KVMLET_DEVICES_BACKEND_TAP_H_

#include <memory>

#include "absl/status/statusor.h"
#include "devices/backend/net_backend.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

inline constexpr uint16_t kMaxTapQueues = 16;

absl::StatusOr<std::unique_ptr<NetBackend>> OpenTap(const NetOptions& options);
// A descriptor of a tap or macvtap that somebody else opened.
absl::StatusOr<std::unique_ptr<NetBackend>> OpenTapFd(
    UniqueFd fd, const NetOptions& options);
bool IsTap(int fd);

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_TAP_H_
