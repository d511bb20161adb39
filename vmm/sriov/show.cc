// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "devices/vfio/explain.h"
#include "vmm/sriov/sriov.h"

namespace kvmlet::sriov {
namespace {

using vfio::DeviceFacts;
using vfio::HostPaths;

std::string Role(const DeviceFacts& facts) {
  if (facts.is_vf()) return "VF of " + facts.pf;
  if (!facts.is_pf()) return "";
  return absl::StrCat("PF, ", facts.vfs.size(), " of ", facts.total_vfs,
                      " VFs");
}

std::string Holders(const HostPaths& paths, const DeviceFacts& facts) {
  if (!facts.group || !vfio::IsVfioDriver(facts.driver)) return "";
  std::vector<std::string> holders =
      vfio::HoldersOf(paths, absl::StrCat(paths.dev, "/vfio/", *facts.group));
  if (holders.empty() && !facts.cdev.empty()) {
    holders = vfio::HoldersOf(
        paths, absl::StrCat(paths.dev, "/vfio/devices/", facts.cdev));
  }
  return absl::StrJoin(holders, ", ");
}

// What stands in the way of passing it through, or that nothing does.
std::string Verdict(const HostPaths& paths, const DeviceFacts& facts) {
  const std::string holders = Holders(paths, facts);
  if (!holders.empty()) return "in use by " + holders;
  const absl::Status status = vfio::CheckUsable(facts);
  if (status.ok()) {
    const bool token = facts.is_vf() && vfio::IsVfioDriver(facts.pf_driver);
    return token ? "free, with the VF token" : "free";
  }
  const std::string text(status.message());
  return text.substr(std::min(facts.bdf.size() + 2, text.size()));
}

}  // namespace

std::string ShowText(const HostPaths& paths, const std::string& bdf) {
  std::string text;
  for (const std::string& name : vfio::ListFunctions(paths)) {
    const auto facts = vfio::ReadFacts(paths, name);
    if (!facts.ok()) continue;
    const bool of_interest =
        facts->is_pf() || facts->is_vf() || vfio::IsVfioDriver(facts->driver);
    if (bdf.empty() ? !of_interest : name != bdf) continue;
    const std::string group = facts->group ? absl::StrCat(*facts->group) : "-";
    absl::StrAppend(
        &text, absl::StrFormat("%-12s %04x:%04x %-10s group %-3s %-18s %s\n",
                               name, facts->vendor, facts->device,
                               facts->driver.empty() ? "-" : facts->driver,
                               group, Role(*facts), Verdict(paths, *facts)));
  }
  return text;
}

}  // namespace kvmlet::sriov
