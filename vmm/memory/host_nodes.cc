// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/host_nodes.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

constexpr size_t kBits = 8 * sizeof(unsigned long);

// As the kernel writes it: "0-1,3".
std::string NodesWithMemory() {
  std::ifstream file("/sys/devices/system/node/has_memory");
  std::string text;
  if (!std::getline(file, text)) return "none that it tells of";
  return text;
}

// Whether such a list holds the node; a text that is none holds all, so that
// the kernel itself decides.
bool Holds(std::string_view list, uint32_t node) {
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(list.data(), list.size()), ',')) {
    const std::pair<absl::string_view, absl::string_view> ends =
        absl::StrSplit(part, absl::MaxSplits('-', 1));
    uint32_t first = 0;
    uint32_t last = 0;
    if (!absl::SimpleAtoi(ends.first, &first)) return true;
    if (!absl::SimpleAtoi(ends.second, &last)) last = first;
    if (first <= node && node <= last) return true;
  }
  return false;
}

absl::Status NotAllThere(std::string_view flag, std::string_view nodes) {
  return HostLacks(
      absl::StrCat(absl::string_view(flag.data(), flag.size()),
                   ": the host has not all of these NUMA nodes; it has ",
                   absl::string_view(nodes.data(), nodes.size())));
}

}  // namespace

absl::Status BindToHostNodes(std::string_view flag, std::byte* host,
                             uint64_t size,
                             std::span<const uint32_t> host_nodes) {
  if (host_nodes.empty() || size == 0) return absl::OkStatus();
  // mbind itself leaves out those that are not there, as long as one is.
  const std::string there = NodesWithMemory();
  for (const uint32_t node : host_nodes) {
    if (!Holds(there, node)) return NotAllThere(flag, there);
  }
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
  if (error == EINVAL || error == ENOSYS) return NotAllThere(flag, there);
  return OsRefused(error, absl::StrCat(std::string(flag), ": mbind"));
}

}  // namespace kvmlet
