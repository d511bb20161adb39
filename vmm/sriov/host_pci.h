// SPDX-License-Identifier: Apache-2.0
// Changes to the host's PCI functions by sysfs: which driver has one, how many
// virtual functions there are. The kernel may hold a writer up for as long as
// somebody uses the device, so a child process writes, and is given a deadline.
//
// Threads: one, without others beside it (it forks). Errors are sentences for
// a user. Specification: Linux, Documentation/ABI/testing/sysfs-bus-pci and
// Documentation/PCI/pci-iov-howto.rst.
#ifndef KVMLET_VMM_SRIOV_HOST_PCI_H_
#define KVMLET_VMM_SRIOV_HOST_PCI_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "devices/vfio/sysfs.h"

namespace kvmlet::sriov {

inline constexpr std::chrono::seconds kWriteDeadline{20};

// 0, the errno of the write, or ETIMEDOUT; then the child is left behind, for
// the kernel to let go of.
int WriteFile(const std::string& path, const std::string& text,
              std::chrono::milliseconds deadline = kWriteDeadline);

// Hands a function to a driver, "" for the one that the host would choose.
absl::Status BindDriver(const vfio::HostPaths& paths,
                        const vfio::DeviceFacts& device,
                        const std::string& driver);

// Refuses to change the number while any of the functions is in use.
absl::Status SetVfs(const vfio::HostPaths& paths, const vfio::DeviceFacts& pf,
                    uint32_t count);

// "0000:01:10.0 (held by 4711 (kvmlet))" for each that somebody has open.
std::vector<std::string> VfsInUse(const vfio::HostPaths& paths,
                                  const vfio::DeviceFacts& pf);

}  // namespace kvmlet::sriov

#endif  // KVMLET_VMM_SRIOV_HOST_PCI_H_
