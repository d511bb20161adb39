// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/sysfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet::vfio {
namespace {

constexpr uint32_t kMostVfs = 4096;

std::string FolderOf(const HostPaths& paths, const std::string& bdf) {
  return absl::StrCat(paths.sys, "/bus/pci/devices/", bdf);
}

std::vector<std::string> ListFolder(const std::string& path) {
  std::vector<std::string> names;
  DIR* const folder = ::opendir(path.c_str());
  if (folder == nullptr) return names;
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(folder);
  std::ranges::sort(names);
  return names;
}

bool IsHex(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
}

// "0000:01:10.0"; the domain may be missing.
bool IsBdf(std::string_view text) {
  if (text.size() == 7) {
    return IsHex(text.substr(0, 2)) && text[2] == ':' &&
           IsHex(text.substr(3, 2)) && text[5] == '.' && text[6] >= '0' &&
           text[6] <= '7';
  }
  return text.size() == 12 && IsHex(text.substr(0, 4)) && text[4] == ':' &&
         IsBdf(text.substr(5));
}

void ReadGroup(const HostPaths& paths, DeviceFacts& facts) {
  const std::string group = LinkName(facts.path + "/iommu_group");
  if (group.empty()) return;
  facts.group = static_cast<uint32_t>(std::strtoul(group.c_str(), nullptr, 10));
  for (std::string& name : ListFolder(facts.path + "/iommu_group/devices")) {
    if (name == facts.bdf) continue;
    std::string driver = LinkName(FolderOf(paths, name) + "/driver");
    facts.members.push_back({std::move(name), std::move(driver)});
  }
}

void ReadSriov(DeviceFacts& facts) {
  facts.pf = LinkName(facts.path + "/physfn");
  if (facts.is_vf()) {
    facts.pf_driver = LinkName(facts.path + "/physfn/driver");
    return;
  }
  const auto total = ReadUnsigned(facts.path + "/sriov_totalvfs").value_or(0);
  facts.total_vfs = static_cast<uint32_t>(std::min<uint64_t>(total, kMostVfs));
  for (uint32_t i = 0; i < facts.total_vfs; ++i) {
    std::string vf = LinkName(absl::StrCat(facts.path, "/virtfn", i));
    if (vf.empty()) break;
    facts.vfs.push_back(std::move(vf));
  }
}

}  // namespace

bool IsVfioDriver(std::string_view driver) {
  return driver == "vfio-pci" || driver.ends_with("-vfio-pci") ||
         driver.ends_with("_vfio_pci");
}

bool IsHarmlessDriver(std::string_view driver) {
  return driver.empty() || driver == "pcieport" || driver == "pci-stub" ||
         IsVfioDriver(driver);
}

std::string ReadLine(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[4096];
  const ssize_t got = fd.ok() ? ::read(fd.get(), buffer, sizeof buffer) : -1;
  if (got <= 0) return {};
  const std::string_view text(buffer, static_cast<size_t>(got));
  return std::string(text.substr(0, text.find('\n')));
}

std::string LinkName(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t got = ::readlink(path.c_str(), target, sizeof target);
  if (got <= 0) return {};
  const std::string_view text(target, static_cast<size_t>(got));
  return std::string(text.substr(text.rfind('/') + 1));
}

std::optional<uint64_t> ReadUnsigned(const std::string& path) {
  const std::string text = ReadLine(path);
  if (text.empty()) return std::nullopt;
  char* end = nullptr;
  const uint64_t value = std::strtoull(text.c_str(), &end, 0);
  if (end == text.c_str()) return std::nullopt;
  return value;
}

absl::StatusOr<std::string> ParseDeviceName(std::string_view name) {
  std::string_view last = name;
  while (last.size() > 1 && last.ends_with('/')) last.remove_suffix(1);
  last = last.substr(last.rfind('/') + 1);
  if (!IsBdf(last)) {
    return BadInput(absl::StrCat(
        "'", std::string(name),
        "' is not a PCI device; write 0000:01:10.0, as lspci -D prints it, or "
        "its folder in /sys/bus/pci/devices"));
  }
  std::string bdf = last.size() == 7 ? "0000:" : "";
  for (const char c : last) {
    bdf.push_back(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
  }
  return bdf;
}

absl::StatusOr<DeviceFacts> ReadFacts(const HostPaths& paths,
                                      const std::string& bdf) {
  DeviceFacts facts;
  facts.bdf = bdf;
  facts.path = FolderOf(paths, bdf);
  if (::access(facts.path.c_str(), F_OK) != 0) {
    return CannotOpen(errno, absl::StrCat(bdf, ": no such PCI device here (",
                                          facts.path, ")"));
  }
  facts.driver = LinkName(facts.path + "/driver");
  const auto number = [&facts](const char* name) {
    return static_cast<uint32_t>(
        ReadUnsigned(absl::StrCat(facts.path, "/", name)).value_or(0));
  };
  facts.vendor = number("vendor");
  facts.device = number("device");
  facts.class_code = number("class");
  ReadGroup(paths, facts);
  ReadSriov(facts);
  for (std::string& name : ListFolder(facts.path + "/vfio-dev")) {
    facts.cdev = std::move(name);
  }
  const std::string node = ReadLine(facts.path + "/numa_node");
  if (!node.empty()) facts.numa_node = std::atoi(node.c_str());
  return facts;
}

bool OnlyIommufd(const HostPaths& paths, const DeviceFacts& device) {
  const auto may_use = [&paths](const std::string& name) {
    return ::access(absl::StrCat(paths.dev, name).c_str(), R_OK | W_OK) == 0;
  };
  const bool by_group =
      device.group && may_use("/vfio/vfio") &&
      may_use(absl::StrCat("/vfio/", device.group.value_or(0)));
  return !by_group && !device.cdev.empty() && may_use("/iommu") &&
         may_use(absl::StrCat("/vfio/devices/", device.cdev));
}

std::vector<std::string> ListFunctions(const HostPaths& paths) {
  return ListFolder(paths.sys + "/bus/pci/devices");
}

std::vector<std::string> HoldersOf(const HostPaths& paths,
                                   const std::string& file) {
  std::vector<std::string> holders;
  for (const std::string& pid : ListFolder(paths.proc)) {
    if (pid.find_first_not_of("0123456789") != pid.npos) continue;
    const std::string fds = absl::StrCat(paths.proc, "/", pid, "/fd");
    for (const std::string& fd : ListFolder(fds)) {
      char target[PATH_MAX];
      const std::string link = absl::StrCat(fds, "/", fd);
      const ssize_t got = ::readlink(link.c_str(), target, sizeof target);
      if (got <= 0) continue;
      if (std::string_view(target, static_cast<size_t>(got)) != file) continue;
      holders.push_back(absl::StrCat(
          pid, " (", ReadLine(absl::StrCat(paths.proc, "/", pid, "/comm")),
          ")"));
      break;
    }
  }
  return holders;
}

}  // namespace kvmlet::vfio
