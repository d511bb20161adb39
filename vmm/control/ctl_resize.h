// SPDX-License-Identifier: Apache-2.0
// `kvmlet ctl SOCKET resize ID SIZE --wait`: follows a memory device until it
// has the size that was requested, or says why not. Waits no longer than the
// deadline.
//
// Not thread-safe. Sizes are in bytes.
#ifndef KVMLET_VMM_CONTROL_CTL_RESIZE_H_
#define KVMLET_VMM_CONTROL_CTL_RESIZE_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "vmm/control/qmp_client.h"

namespace kvmlet {

// One line on `out` whenever the size has changed, or why it does not.
// DeadlineExceeded, with the device's own reason, when the guest did not
// follow in time; Aborted when somebody else asked for another size.
absl::Status FollowResize(QmpClient& client, const std::string& id,
                          QmpClient::Deadline deadline, std::ostream& out);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_CTL_RESIZE_H_
