// SPDX-License-Identifier: Apache-2.0
// `kvmlet sriov COMMAND...`: shows the host's functions that can be passed
// through, hands them to vfio-pci and back, makes virtual functions, and
// serves them to machines. Results go to `out`, one-line errors to `err`.
//
// Threads: one. The status is kvmlet's: 0, 64 (usage), 65, 66, 69 or 71.
#ifndef KVMLET_VMM_SRIOV_SRIOV_H_
#define KVMLET_VMM_SRIOV_SRIOV_H_

#include <ostream>
#include <span>
#include <string>

#include "devices/vfio/sysfs.h"

namespace kvmlet::sriov {

// `args` is what follows "kvmlet sriov".
int SriovMain(std::span<const std::string> args, std::ostream& out,
              std::ostream& err);

// The table of `show`: all functions that are, have or could be virtual ones
// or that are on a VFIO driver; or the one that is named.
std::string ShowText(const vfio::HostPaths& paths, const std::string& bdf);

}  // namespace kvmlet::sriov

#endif  // KVMLET_VMM_SRIOV_SRIOV_H_
