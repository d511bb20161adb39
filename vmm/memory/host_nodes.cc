// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/host_nodes.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

constexpr size_t kBits = 8 * sizeof(unsigned long);

std::string OnlineNodes() {
  std::ifstream file("/sys/devices/system/node/online");
  std::string text;
  if (!std::getline(file, text)) return "none that it tells of";
  return text;
}

}  // namespace

absl::Status BindToHostNodes(std::string_view flag, std::byte* host,
                             uint64_t size,
                             std::span<const uint32_t> host_nodes) {
  if (host_nodes.empty() || size == 0) return absl::OkStatus();
  const uint32_t highest = *std::ranges::max_element(host_nodes);
  std::vector<unsigned long> mask(highest / kBits + 1);
  for (const uint32_t node : host_nodes) {
    mask[node / kBits] |= 1ul << (node % kBits);
  }
  // The kernel looks at one bit less than it is told.
  const unsigned long bits = mask.size() * kBits + 1;
  if (::syscall(SYS_mbind, host, size, MPOL_BIND, mask.data(), bits, 0) == 0) {
    return absl::OkStatus();
  }
  const int error = errno;
  const std::string name(flag);
  if (error == EINVAL || error == ENOSYS) {
    return HostLacks(absl::StrCat(
        name, ": the host has not all of these NUMA nodes; it has ",
        OnlineNodes()));
  }
  return OsRefused(error, absl::StrCat(name, ": mbind"));
}

}  // namespace kvmlet
