// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_vfio.h"

#include <linux/vfio.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/vfio/uapi.h"

namespace kvmlet::fakes {
namespace {

template <typename T>
T Take(uintptr_t argument) {
  T value;
  std::memcpy(&value, reinterpret_cast<const void*>(argument), sizeof value);
  return value;
}
template <typename T>
void Give(uintptr_t argument, const T& value) {
  std::memcpy(reinterpret_cast<void*>(argument), &value, sizeof value);
}

}  // namespace

vfio::DeviceFacts FakeVfio::FactsOf(const FakeDevice& device) const {
  vfio::DeviceFacts facts;
  facts.bdf = device.bdf;
  facts.driver = "vfio-pci";
  facts.group = device.group;
  facts.cdev = device.cdev;
  if (device.pf != nullptr) {
    facts.pf = device.pf->bdf;
    facts.pf_driver = "vfio-pci";
  }
  if (device.is_pf) facts.total_vfs = 4;
  return facts;
}

void FakeVfio::Fail(unsigned long request, int error, int times) {
  failures_[request].insert(failures_[request].end(),
                            static_cast<size_t>(times), error);
}

int FakeVfio::CountOf(std::string_view prefix) const {
  return static_cast<int>(std::ranges::count_if(
      log_, [prefix](const std::string& s) { return s.starts_with(prefix); }));
}

int FakeVfio::MakeFile(const File& file) {
  const int fd = ::memfd_create("vfio", MFD_CLOEXEC);
  files_by_fd_[fd] = file;
  return fd;
}

int FakeVfio::Open(const std::string& path) {
  log_.push_back("OPEN " + path);
  if (path == "/dev/vfio/vfio") return MakeFile({.kind = Kind::kContainer});
  if (path == "/dev/iommu") return MakeFile({.kind = Kind::kIommu});
  for (const auto& device : devices_) {
    if (path == "/dev/vfio/devices/" + device->cdev) {
      return MakeFile({.kind = Kind::kDevice, .device = device.get()});
    }
    if (path == absl::StrCat("/dev/vfio/", device->group)) {
      return MakeFile({.kind = Kind::kGroup, .group = device->group});
    }
  }
  return -ENOENT;
}

int FakeVfio::Ioctl(int fd, unsigned long request, uintptr_t argument) {
  std::vector<int>& failures = failures_[request];
  if (!failures.empty()) {
    const int error = failures.back();
    failures.pop_back();
    return -error;
  }
  const auto file = files_by_fd_.find(fd);
  if (file == files_by_fd_.end()) return -EBADF;
  switch (file->second.kind) {
    case Kind::kContainer:
      return ContainerCall(file->second, request, argument);
    case Kind::kGroup:
      return GroupCall(file->second, request, argument);
    case Kind::kIommu:
      return IommuCall(request, argument);
    case Kind::kDevice:
      return DeviceCall(*file->second.device, request, argument);
  }
  return -ENOTTY;
}

int FakeVfio::ContainerCall(File& file, unsigned long request,
                            uintptr_t argument) {
  if (request == VFIO_GET_API_VERSION) return VFIO_API_VERSION;
  if (request == VFIO_CHECK_EXTENSION) return argument == VFIO_TYPE1v2_IOMMU;
  if (request == VFIO_SET_IOMMU) {
    if (file.groups == 0 || file.iommu) return -EINVAL;
    file.iommu = true;
    log_.push_back("SET_IOMMU");
    return 0;
  }
  if (request == VFIO_IOMMU_MAP_DMA) {
    const auto map = Take<vfio_iommu_type1_dma_map>(argument);
    return file.iommu ? Map(map.iova, map.size) : -EINVAL;
  }
  if (request == VFIO_IOMMU_UNMAP_DMA) {
    auto unmap = Take<vfio_iommu_type1_dma_unmap>(argument);
    const int64_t got = Unmap(unmap.iova, unmap.size);
    if (got < 0) return static_cast<int>(got);
    unmap.size = static_cast<uint64_t>(got);
    Give(argument, unmap);
    return 0;
  }
  return -ENOTTY;
}

int FakeVfio::Map(uint64_t iova, uint64_t size) {
  log_.push_back(absl::StrFormat("MAP %#x", iova));
  if (iova + size - 1 > iova_limit) return -EINVAL;
  if (maps_.size() >= map_limit) return -ENOSPC;
  if (!maps_.emplace(iova, size).second) return -EEXIST;
  return 0;
}

int64_t FakeVfio::Unmap(uint64_t iova, uint64_t size) {
  log_.push_back(absl::StrFormat("UNMAP %#x", iova));
  uint64_t total = 0;
  std::erase_if(maps_, [&](const auto& map) {
    const bool inside = map.first >= iova && map.first - iova < size;
    if (inside) total += map.second;
    return inside;
  });
  return static_cast<int64_t>(total);
}

int FakeVfio::GroupCall(File& file, unsigned long request, uintptr_t argument) {
  if (request == VFIO_GROUP_GET_STATUS) {
    auto status = Take<vfio_group_status>(argument);
    status.flags = VFIO_GROUP_FLAGS_VIABLE;
    Give(argument, status);
    return 0;
  }
  if (request == VFIO_GROUP_SET_CONTAINER) {
    file.container = Take<int>(argument);
    ++files_by_fd_.at(file.container).groups;
    log_.push_back(absl::StrCat("SET_CONTAINER ", file.group));
    return 0;
  }
  if (request == VFIO_GROUP_UNSET_CONTAINER) {
    log_.push_back(absl::StrCat("UNSET_CONTAINER ", file.group));
    File& container = files_by_fd_.at(file.container);
    if (--container.groups == 0) {
      container.iommu = false;
      maps_.clear();
    }
    return 0;
  }
  if (request == VFIO_GROUP_GET_DEVICE_FD) {
    return GetDevice(file, reinterpret_cast<const char*>(argument));
  }
  return -ENOTTY;
}

// drivers/vfio/pci/vfio_pci_core.c, vfio_pci_validate_vf_token().
int FakeVfio::CheckToken(FakeDevice& device, const std::optional<Uuid>& token) {
  if (device.pf != nullptr) {
    if (!token || *token != device.pf->token) return -EACCES;
    ++device.pf->users;
    return 0;
  }
  if (!device.is_pf) return token ? -EINVAL : 0;
  if (device.users > 0) return token && *token == device.token ? 0 : -EACCES;
  if (token) device.token = *token;
  return 0;
}

int FakeVfio::GetDevice(const File& group, const char* name) {
  last_name = name;
  const std::string_view text = last_name;
  for (const auto& device : devices_) {
    if (device->group != group.group || !text.starts_with(device->bdf)) {
      continue;
    }
    const std::string_view rest = text.substr(device->bdf.size());
    constexpr std::string_view kKey = " vf_token=";
    std::optional<Uuid> token;
    if (!rest.empty()) {
      if (!rest.starts_with(kKey)) return -ENODEV;
      const auto parsed = vfio::Token::Parse("", rest.substr(kKey.size()));
      if (!parsed.ok()) return -EINVAL;
      token = parsed->bytes();
    }
    const int checked = CheckToken(*device, token);
    if (checked < 0) return checked;
    opened_by_group_ = true;
    return MakeFile({.kind = Kind::kDevice, .device = device.get()});
  }
  return -ENODEV;
}

int FakeVfio::IommuCall(unsigned long request, uintptr_t argument) {
  if (request == vfio::kIoasAlloc) {
    auto alloc = Take<vfio::IoasAlloc>(argument);
    alloc.out_ioas_id = 7;
    Give(argument, alloc);
    return 0;
  }
  if (request == vfio::kIoasMap) {
    const auto map = Take<vfio::IoasMap>(argument);
    return Map(map.iova, map.length);
  }
  if (request == vfio::kIoasUnmap) {
    auto unmap = Take<vfio::IoasUnmap>(argument);
    unmap.length = static_cast<uint64_t>(Unmap(unmap.iova, unmap.length));
    Give(argument, unmap);
    return 0;
  }
  return -ENOTTY;
}

absl::Status FakeVfio::Add(int fd) {
  ++files_;
  log_.push_back(files_by_fd_.at(fd).kind == Kind::kGroup ? "KVM_ADD group"
                                                          : "KVM_ADD device");
  return absl::OkStatus();
}

absl::Status FakeVfio::Remove(int fd) {
  --files_;
  log_.push_back(files_by_fd_.at(fd).kind == Kind::kGroup ? "KVM_DEL group"
                                                          : "KVM_DEL device");
  return absl::OkStatus();
}

}  // namespace kvmlet::fakes
