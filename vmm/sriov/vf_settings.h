// SPDX-License-Identifier: Apache-2.0
// What the driver of a network card lets its owner decide for a virtual
// function: address, VLAN, whether it is trusted, whether its senders are
// checked. Read and set through the physical function's interface; what was set
// is read back by the caller.
//
// Threads: one. Errors are sentences for a user. Specification: Linux,
// rtnetlink(7), include/uapi/linux/if_link.h: IFLA_VFINFO_LIST.
#ifndef KVMLET_VMM_SRIOV_VF_SETTINGS_H_
#define KVMLET_VMM_SRIOV_VF_SETTINGS_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/sysfs.h"

namespace kvmlet::sriov {

// Absent: the driver has no such setting, or it is to stay as it is.
struct VfSettings {
  std::optional<std::array<uint8_t, 6>> mac{};
  std::optional<uint16_t> vlan{};  // 0: none
  std::optional<bool> trust{};
  std::optional<bool> spoof_check{};
  friend bool operator==(const VfSettings&, const VfSettings&) = default;

  bool empty() const { return *this == VfSettings(); }
  // "mac=02:00:00:00:00:01 vlan=5 trust=off spoofchk=on"
  std::string Text() const;
};

// NAME=VALUE words, as Text() prints them.
absl::StatusOr<VfSettings> ParseVfSettings(std::span<const std::string> words);

// The network interface of a physical function, by sysfs.
absl::StatusOr<std::string> InterfaceOf(const vfio::HostPaths& paths,
                                        const vfio::DeviceFacts& pf);

absl::StatusOr<VfSettings> ReadVf(const std::string& interface, uint32_t vf);
// One after the other; the error names the one that the driver refused.
absl::Status SetVf(const std::string& interface, uint32_t vf,
                   const VfSettings& settings);

// How functions were before they were set for the first time: a file of lines
// "PF VF SETTINGS...". No file is none.
using SavedVfs =
    std::map<std::pair<std::string, uint32_t>, VfSettings>;  // by PF and VF
absl::StatusOr<SavedVfs> LoadSavedVfs(const std::string& path);
absl::Status StoreSavedVfs(const std::string& path, const SavedVfs& saved);

}  // namespace kvmlet::sriov

#endif  // KVMLET_VMM_SRIOV_VF_SETTINGS_H_
