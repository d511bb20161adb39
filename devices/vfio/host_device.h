// SPDX-License-Identifier: Apache-2.0
// An opened host PCI function: its regions, configuration space, interrupts
// and reset, as requests on its file. It knows nothing of a guest.
//
// Threads: any; the kernel serialises. Reads of a device that does not answer
// are ones, writes to it are dropped. Errors: a Status with the device's name.
// Specification: Linux, include/uapi/linux/vfio.h, "IOCTLs for DEVICE file
// descriptors".
#ifndef KVMLET_DEVICES_VFIO_HOST_DEVICE_H_
#define KVMLET_DEVICES_VFIO_HOST_DEVICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/address_space.h"
#include "devices/vfio/host_calls.h"
#include "devices/vfio/regions.h"

namespace kvmlet::vfio {

inline constexpr uint32_t kRegions = 9;
inline constexpr uint32_t kRomRegion = 6;
inline constexpr uint32_t kConfigRegion = 7;

enum class IrqIndex : uint32_t { kIntx, kMsi, kMsix, kError, kRequest };

struct IrqInfo {
  uint32_t count = 0;
  bool no_resize = false;  // the number of vectors is fixed when enabled
};

class HostDevice {
 public:
  static absl::StatusOr<std::unique_ptr<HostDevice>> Create(
      HostCalls& calls, std::unique_ptr<DeviceHandle> handle, std::string name);

  const std::string& name() const { return name_; }
  int fd() const { return handle_->fd(); }
  HostCalls& calls() const { return calls_; }
  const Region& region(uint32_t index) const { return regions_[index]; }
  const IrqInfo& irq(IrqIndex index) const {
    return irqs_[static_cast<size_t>(index)];
  }

  void ReadConfig(uint64_t offset, std::span<std::byte> data) const {
    ReadRegion(kConfigRegion, offset, data);
  }
  void WriteConfig(uint64_t offset, std::span<const std::byte> data) const {
    WriteRegion(kConfigRegion, offset, data);
  }
  void ReadRegion(uint32_t index, uint64_t offset,
                  std::span<std::byte> data) const;
  void WriteRegion(uint32_t index, uint64_t offset,
                   std::span<const std::byte> data) const;

  // VFIO_DEVICE_SET_IRQS: what triggers eventfds (-1 is none) from vector
  // `first` on. Returns 0, -errno, or how many vectors there can be.
  int SetTriggers(IrqIndex index, uint32_t first, std::span<const int> fds);
  // The eventfd that unmasks INTx.
  absl::Status SetUnmask(int fd);
  void DisableIrqs(IrqIndex index);

  // By a reset of the function, or where it has none of the whole slot.
  absl::Status Reset();
  // The kernel has reset a function when it was opened, if it could. If it
  // could not: with its slot, unless the guest has others of that slot.
  void ResetAtOpen();

 private:
  HostDevice(HostCalls& calls, std::unique_ptr<DeviceHandle> handle,
             std::string name)
      : calls_(calls), handle_(std::move(handle)), name_(std::move(name)) {}
  absl::Status Describe();
  absl::StatusOr<Region> DescribeRegion(uint32_t index);
  int SetIrqs(IrqIndex index, uint32_t action, uint32_t first,
              std::span<const int> fds);

  HostCalls& calls_;
  const std::unique_ptr<DeviceHandle> handle_;
  const std::string name_;
  bool can_reset_ = false;
  std::array<Region, kRegions> regions_;
  std::array<IrqInfo, 5> irqs_;
};

// VFIO_DEVICE_FEATURE_PCI_VF_TOKEN on a physical function: users of virtual
// functions need this token from now on.
absl::Status SetToken(HostCalls& calls, int fd, const Token& token);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_HOST_DEVICE_H_
