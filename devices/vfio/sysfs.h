// SPDX-License-Identifier: Apache-2.0
// What the host's sysfs says about a PCI function: driver, IOMMU group and its
// members, physical and virtual functions, device nodes. Reads links and small
// files only, never sriov_numvfs, which the kernel blocks while functions are
// being removed.
//
// Threads: any; nothing is cached, so an answer may be out of date at once.
// Specification: Linux, Documentation/ABI/testing/sysfs-bus-pci.
#ifndef KVMLET_DEVICES_VFIO_SYSFS_H_
#define KVMLET_DEVICES_VFIO_SYSFS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvmlet::vfio {

// Where the host keeps its files; a test has others.
struct HostPaths {
  std::string sys = "/sys";
  std::string dev = "/dev";
  std::string proc = "/proc";
};

struct GroupMember {
  std::string bdf;
  std::string driver;  // empty without one
};

struct DeviceFacts {
  std::string bdf;     // "0000:01:10.0"
  std::string path;    // its folder in sysfs
  std::string driver;  // "vfio-pci"; empty without one
  uint32_t vendor = 0;
  uint32_t device = 0;
  uint32_t class_code = 0;
  std::optional<uint32_t> group;     // IOMMU group
  std::vector<GroupMember> members;  // the other functions of the group
  std::string pf;                    // of a virtual function, else empty
  std::string pf_driver;
  uint32_t total_vfs = 0;        // of a physical function with SR-IOV
  std::vector<std::string> vfs;  // enabled ones, by index
  std::string cdev;              // "vfio3", below /dev/vfio/devices
  int numa_node = -1;

  bool is_vf() const { return !pf.empty(); }
  bool is_pf() const { return total_vfs > 0; }
};

// vfio-pci, or a variant of it for one kind of device (mlx5_vfio_pci).
bool IsVfioDriver(std::string_view driver);
// Bound, but neither doing DMA nor an obstacle to VFIO.
bool IsHarmlessDriver(std::string_view driver);

// "0000:01:10.0" from that, from "01:10.0", or from a path in sysfs.
absl::StatusOr<std::string> ParseDeviceName(std::string_view name);

// Fails, saying so, when there is no such function.
absl::StatusOr<DeviceFacts> ReadFacts(const HostPaths& paths,
                                      const std::string& bdf);
// Every PCI function of the host, sorted.
std::vector<std::string> ListFunctions(const HostPaths& paths);

// Processes that have this file open, as "PID (NAME)"; those that may not be
// looked into are left out.
std::vector<std::string> HoldersOf(const HostPaths& paths,
                                   const std::string& file);

// Whether the device can be opened through IOMMUFD and not through its group.
// Where both can, the group serves: there every kernel checks VF tokens.
bool OnlyIommufd(const HostPaths& paths, const DeviceFacts& device);

// Small pieces that others need, too.
std::string ReadLine(const std::string& path);  // empty on error
std::string LinkName(const std::string& path);  // last part
std::optional<uint64_t> ReadUnsigned(const std::string& path);  // any base

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_SYSFS_H_
