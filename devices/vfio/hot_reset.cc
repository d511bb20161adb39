// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/hot_reset.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "devices/vfio/uapi.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {
namespace {

constexpr uint32_t kMostFunctions = 256 * 8;

// What the reset hits, as the kernel says.
struct Extent {
  std::vector<vfio_pci_dependent_device> functions;
  uint32_t flags = 0;
};

std::string NameOf(const vfio_pci_dependent_device& f) {
  return absl::StrFormat("%04x:%02x:%02x.%u", f.segment, f.bus, f.devfn >> 3,
                         f.devfn & 7);
}

absl::StatusOr<Extent> ReadExtent(HostCalls& calls, int fd,
                                  const std::string& name) {
  vfio_pci_hot_reset_info head{};
  std::vector<std::byte> bytes(sizeof head);
  int got = -ENOSPC;
  for (int pass = 0; pass < 3 && got == -ENOSPC; ++pass) {
    const uint32_t count = std::min(head.count, kMostFunctions);
    bytes.resize(sizeof head + count * sizeof(vfio_pci_dependent_device));
    head = {};
    head.argsz = static_cast<uint32_t>(bytes.size());
    std::memcpy(bytes.data(), &head, sizeof head);
    got = calls.Ioctl(fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
                      reinterpret_cast<uintptr_t>(bytes.data()));
    std::memcpy(&head, bytes.data(), sizeof head);
  }
  if (got < 0) {
    return OsRefused(-got, absl::StrCat(name,
                                        ": the host has no way to reset "
                                        "it, not even with its slot"));
  }
  Extent extent{.functions = {}, .flags = head.flags};
  const size_t room =
      (bytes.size() - sizeof head) / sizeof(vfio_pci_dependent_device);
  extent.functions.resize(std::min<size_t>(head.count, room));
  if (extent.functions.empty()) return extent;
  std::memcpy(extent.functions.data(), bytes.data() + sizeof head,
              std::span(extent.functions).size_bytes());
  return extent;
}

absl::Status NotOurs(const std::string& name, const Extent& extent) {
  std::vector<std::string> others;
  for (const auto& function : extent.functions) {
    if (NameOf(function) != name) others.push_back(NameOf(function));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      name, ": it can be reset only together with ",
      absl::StrJoin(others, ", "), ": bind them to vfio-pci, and give the ",
      "guest one of each of their IOMMU groups; it stays as it is"));
}

// The groups that are hit; nothing when the guest has not all of them.
std::vector<int> GroupsOf(const DeviceHandle& device, const Extent& extent) {
  std::vector<uint32_t> numbers;
  for (const auto& function : extent.functions) {
    if (std::ranges::count(numbers, function.group_id) == 0) {
      numbers.push_back(function.group_id);
    }
  }
  std::vector<int> files = device.GroupFiles(numbers);
  if (files.size() != numbers.size()) files.clear();
  return files;
}

}  // namespace

absl::Status HotReset(HostCalls& calls, const DeviceHandle& device,
                      const std::string& name, OthersOpen others) {
  KVMLET_ASSIGN_OR_RETURN(const Extent extent,
                          ReadExtent(calls, device.fd(), name));
  for (const auto& function : extent.functions) {
    const std::string other = NameOf(function);
    if (others == OthersOpen::kToo || other == name) continue;
    // It was reset with that one, when that one came.
    if (device.HasOpen(other)) return absl::OkStatus();
  }
  std::vector<int> groups;
  if ((extent.flags & kHotResetById) != 0) {
    if ((extent.flags & kHotResetOwned) == 0) return NotOurs(name, extent);
  } else {
    groups = GroupsOf(device, extent);
    if (groups.empty()) return NotOurs(name, extent);
  }
  vfio_pci_hot_reset head{};
  std::vector<std::byte> bytes(sizeof head + std::span(groups).size_bytes());
  head.argsz = static_cast<uint32_t>(bytes.size());
  head.count = static_cast<uint32_t>(groups.size());
  std::memcpy(bytes.data(), &head, sizeof head);
  if (!groups.empty()) {
    std::memcpy(bytes.data() + sizeof head, groups.data(),
                std::span(groups).size_bytes());
  }
  const int got = calls.Ioctl(device.fd(), VFIO_DEVICE_PCI_HOT_RESET,
                              reinterpret_cast<uintptr_t>(bytes.data()));
  if (got >= 0) return absl::OkStatus();
  return OsRefused(-got, absl::StrCat(name, ": reset of its slot"));
}

}  // namespace kvmlet::vfio
