// SPDX-License-Identifier: Apache-2.0
// Turns what the kernel answers to VFIO's requests into the sentence a user
// needs: what was refused, why, and what to do about it. One function a
// request, each with the errnos that the kernel gives there; any other errno
// keeps its own name. A status carries the exit status: 71 where the kernel
// refused, 69 where it lacks something, 65 where the wrong thing was asked.
//
// Threads: any, no state. Specification: Linux, drivers/vfio/.
#ifndef KVMLET_DEVICES_VFIO_EXPLAIN_H_
#define KVMLET_DEVICES_VFIO_EXPLAIN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "devices/vfio/sysfs.h"

namespace kvmlet::vfio {

// `error` is a positive errno throughout.

// Before any request: driver, IOMMU group and its other members.
absl::Status CheckUsable(const DeviceFacts& device);

absl::Status ExplainOpenContainer(int error, const std::string& path);
absl::Status ExplainOpenGroup(int error, const HostPaths& paths,
                              const DeviceFacts& device);
absl::Status ExplainSetContainer(int error, const DeviceFacts& device);
absl::Status ExplainSetIommu(int error, const DeviceFacts& device);
// VFIO_GROUP_GET_DEVICE_FD, and VFIO_DEVICE_BIND_IOMMUFD.
struct TokenUse {
  bool sent = false;
  bool fresh = false;  // sent, but made up by us
};
absl::Status ExplainGetDevice(int error, const DeviceFacts& device,
                              TokenUse token);
absl::Status ExplainOpenCdev(int error, const HostPaths& paths,
                             const DeviceFacts& device);
absl::Status ExplainBind(int error, const HostPaths& paths,
                         const DeviceFacts& device, TokenUse token);
absl::Status ExplainAttach(int error, const DeviceFacts& device);

struct MapRequest {
  uint64_t iova = 0;
  uint64_t size = 0;
  uint64_t locked_limit = 0;  // RLIMIT_MEMLOCK in bytes
  uint64_t locked_need = 0;   // all that is to be mapped
};
absl::Status ExplainMap(int error, const MapRequest& request);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_EXPLAIN_H_
