// SPDX-License-Identifier: Apache-2.0
// A device opened by one process for another: its container, group and device
// files, sent over a unix socket. Whoever receives them needs neither
// privilege nor sysfs nor the VF token.
//
// Threads: no state. The sender's copies are closed when they die; the device
// stays open as long as the receiver's. Specification: unix(7), SCM_RIGHTS.
#ifndef KVMLET_DEVICES_VFIO_HAND_OVER_H_
#define KVMLET_DEVICES_VFIO_HAND_OVER_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/address_space.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet::vfio {

struct HandedDevice {
  std::string bdf;
  uint32_t group = 0;
  UniqueFd container;
  UniqueFd group_file;
  UniqueFd device;
};

// Opens a function into a container of its own.
absl::StatusOr<HandedDevice> OpenToHand(HostCalls& calls,
                                        const HostPaths& paths,
                                        const DeviceFacts& device,
                                        const TokenDecision& token);

// One message each way: a request as a line of text; as an answer a device, or
// the text of an error. Receiving waits at most this long.
absl::Status SendLine(int socket, const std::string& line);
absl::StatusOr<std::string> ReceiveLine(int socket,
                                        std::chrono::milliseconds wait);
absl::Status SendDevice(int socket, const HandedDevice& device);
absl::StatusOr<HandedDevice> ReceiveDevice(int socket,
                                           std::chrono::milliseconds wait);

// An address space around a device that was handed over; Open gives it out,
// once.
std::unique_ptr<AddressSpace> MakeHandedContainer(
    const AddressSpace::Context& context, HandedDevice device);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_HAND_OVER_H_
