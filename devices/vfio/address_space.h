// SPDX-License-Identifier: Apache-2.0
// The addresses that passed-through devices of one guest can reach, and the
// door through which devices are opened into it. Both of the kernel's
// interfaces are behind it: group and container, or device file and IOMMUFD.
// What is mapped is remembered: the kernel forgets all of it when the last
// device leaves, and gets it again with the next.
//
// Threads: any; one lock. Units: bytes; an iova is a guest-physical address.
// Everything handed to Create outlives the space; the space outlives devices.
// Specification: Linux, Documentation/driver-api/vfio.rst and
// Documentation/userspace-api/iommufd.rst.
#ifndef KVMLET_DEVICES_VFIO_ADDRESS_SPACE_H_
#define KVMLET_DEVICES_VFIO_ADDRESS_SPACE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/host_calls.h"
#include "devices/vfio/sysfs.h"
#include "devices/vfio/token.h"
#include "vmm/base/unique_fd.h"
#include "vmm/bus/assigned_files.h"

namespace kvmlet::vfio {

// An opened device. Its destructor lets go of everything in the order that the
// kernel needs.
class DeviceHandle {
 public:
  virtual ~DeviceHandle() = default;
  virtual int fd() const = 0;
  // Whether this guest has that function, "0000:01:10.0".
  virtual bool HasOpen(std::string_view bdf) const = 0;
  // The files of these IOMMU groups; fewer when this guest has not all of
  // them, and none where devices are opened without groups.
  virtual std::vector<int> GroupFiles(
      std::span<const uint32_t> numbers) const = 0;
};

struct IovaRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

class AddressSpace {
 public:
  struct Context {
    HostCalls& calls;
    HostPaths paths;
    AssignedFiles* kvm = nullptr;  // null without KVM
  };

  virtual ~AddressSpace() = default;
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  // Opens a function into this space. The first one makes the kernel's space
  // and maps what is remembered.
  absl::StatusOr<std::unique_ptr<DeviceHandle>> Open(
      const DeviceFacts& device, const TokenDecision& token) {
    const std::lock_guard lock(mutex_);
    return DoOpen(device, token);
  }

  // What lies behind a range: memory, whose pages are locked, or a device's
  // registers, which devices that come later can do without.
  enum class Pages { kLocked, kDevice };
  // Lets devices reach `size` bytes at `host` under the address `iova`.
  // Overlapping another range is an error.
  absl::Status Map(uint64_t iova, uint64_t size, const void* host,
                   Pages pages = Pages::kLocked);
  // Exactly a range that was mapped.
  absl::Status Unmap(uint64_t iova);

  virtual std::string_view name() const = 0;
  uint64_t mapped_bytes() const;  // of memory

 protected:
  explicit AddressSpace(const Context& context) : context_(context) {}

  // All of these with mutex_ held.
  virtual absl::StatusOr<std::unique_ptr<DeviceHandle>> DoOpen(
      const DeviceFacts& device, const TokenDecision& token) = 0;
  virtual int DoMap(uint64_t iova, uint64_t size, const void* host) = 0;
  // Returns the bytes unmapped, or -errno.
  virtual int64_t DoUnmap(uint64_t iova, uint64_t size) = 0;
  // Where devices may be given addresses; empty when the kernel does not say.
  virtual std::vector<IovaRange> Ranges() const { return {}; }

  // A device came: with the first, what is remembered is mapped. On failure
  // nothing is.
  absl::Status AddDevice();
  void RemoveDevice() { --devices_; }
  size_t devices() const { return devices_; }

  const Context context_;
  mutable std::mutex mutex_;

 private:
  struct Mapping {
    uint64_t size = 0;
    const void* host = nullptr;
    Pages pages = Pages::kLocked;
  };
  absl::Status MapNow(uint64_t iova, const Mapping& mapping);
  absl::Status CheckRange(uint64_t iova, uint64_t size) const;

  uint64_t Total() const;

  std::map<uint64_t, Mapping> mappings_;  // guarded by mutex_
  size_t devices_ = 0;                    // guarded by mutex_
};

// The older interface, in every kernel: /dev/vfio/vfio and /dev/vfio/GROUP.
std::unique_ptr<AddressSpace> MakeContainer(
    const AddressSpace::Context& context);
// The newer one: /dev/iommu and /dev/vfio/devices/vfioN. It has been able to
// check VF tokens since Linux 6.18.3.
std::unique_ptr<AddressSpace> MakeIommufd(const AddressSpace::Context& context);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_ADDRESS_SPACE_H_
