// SPDX-License-Identifier: Apache-2.0
// User-mode networking: runs `passt` as a child on one end of a socket pair.
// It needs no root and no interface; it sandboxes itself, serves the guest
// DHCP, and passes its TCP, UDP and ICMP on through ordinary sockets.
//
// Threads: as NetBackend. The child ends with the backend (and with the
// monitor, whose end of the socket closes). Errors: one line that starts with
// "--net passt".
#ifndef KVMLET_DEVICES_BACKEND_PASST_H_
#define KVMLET_DEVICES_BACKEND_PASST_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "devices/backend/net_backend.h"

namespace kvmlet {

// `program` is looked up in PATH.
absl::StatusOr<std::unique_ptr<NetBackend>> OpenPasst(
    const std::string& program = "passt");

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_PASST_H_
