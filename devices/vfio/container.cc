// SPDX-License-Identifier: Apache-2.0
// The group and container interface. A device is opened by name from its
// group's file; the name carries the VF token.
#include <glog/logging.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "devices/vfio/address_space.h"
#include "devices/vfio/explain.h"
#include "devices/vfio/hand_over.h"
#include "devices/vfio/uapi.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {
namespace {

constexpr int kTries = 20;
constexpr std::chrono::milliseconds kTryAfter{50};
constexpr std::string_view kTokenKey = " vf_token=";

class Container;

struct Group {
  uint32_t number = 0;
  UniqueFd fd;
  std::vector<std::string> devices;  // that are open
};

class GroupDevice : public DeviceHandle {
 public:
  GroupDevice(Container& container, uint32_t group, std::string bdf,
              UniqueFd fd)
      : container_(container),
        group_(group),
        bdf_(std::move(bdf)),
        fd_(std::move(fd)) {}
  ~GroupDevice() override;
  int fd() const override { return fd_.get(); }
  bool HasOpen(std::string_view bdf) const override;
  std::vector<int> GroupFiles(std::span<const uint32_t> numbers) const override;

 private:
  Container& container_;
  const uint32_t group_;
  const std::string bdf_;
  UniqueFd fd_;
};

class Container : public AddressSpace {
 public:
  explicit Container(const Context& context) : AddressSpace(context) {}
  // Around a device that another process has opened.
  Container(const Context& context, HandedDevice handed)
      : AddressSpace(context), handed_(std::move(handed)) {}
  ~Container() override { CHECK(groups_.empty()) << "devices are still open"; }

  std::string_view name() const override { return "vfio container"; }
  // The files themselves; the container is empty afterwards.
  absl::StatusOr<HandedDevice> OpenToHand(const DeviceFacts& device,
                                          const TokenDecision& token);
  void Leave(uint32_t number, const std::string& bdf) {
    const std::lock_guard lock(mutex_);
    LeaveLocked(number, &bdf);
  }
  bool HasOpen(std::string_view bdf) const;
  std::vector<int> GroupFiles(std::span<const uint32_t> numbers) const;

 protected:
  absl::StatusOr<std::unique_ptr<DeviceHandle>> DoOpen(
      const DeviceFacts& device, const TokenDecision& token) override;
  int DoMap(uint64_t iova, uint64_t size, const void* host) override;
  int64_t DoUnmap(uint64_t iova, uint64_t size) override;
  std::vector<IovaRange> Ranges() const override { return ranges_; }

 private:
  // With the device that leaves, if one had come.
  void LeaveLocked(uint32_t number, const std::string* bdf);
  absl::StatusOr<std::unique_ptr<DeviceHandle>> TakeHanded();
  absl::StatusOr<std::unique_ptr<DeviceHandle>> Finish(
      uint32_t number, const std::string& bdf, absl::StatusOr<UniqueFd> fd);
  absl::Status OpenContainer();
  absl::StatusOr<Group*> Enter(const DeviceFacts& device);
  absl::Status Join(Group& group, const DeviceFacts& device);
  absl::Status SetIommu(const DeviceFacts& device);
  void ReadRanges();
  absl::StatusOr<UniqueFd> GetDevice(const Group& group,
                                     const DeviceFacts& device,
                                     const TokenDecision& token);

  std::optional<HandedDevice> handed_;  // until it is taken
  UniqueFd fd_;
  std::vector<Group> groups_;
  std::vector<IovaRange> ranges_;
};

GroupDevice::~GroupDevice() {
  fd_.Reset();
  container_.Leave(group_, bdf_);
}

bool GroupDevice::HasOpen(std::string_view bdf) const {
  return container_.HasOpen(bdf);
}

std::vector<int> GroupDevice::GroupFiles(
    std::span<const uint32_t> numbers) const {
  return container_.GroupFiles(numbers);
}

bool Container::HasOpen(std::string_view bdf) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(groups_, [bdf](const Group& group) {
    return std::ranges::count(group.devices, bdf) > 0;
  });
}

std::vector<int> Container::GroupFiles(
    std::span<const uint32_t> numbers) const {
  const std::lock_guard lock(mutex_);
  std::vector<int> files;
  for (const Group& group : groups_) {
    if (std::ranges::count(numbers, group.number) > 0) {
      files.push_back(group.fd.get());
    }
  }
  return files;
}

absl::Status Container::OpenContainer() {
  if (fd_.ok()) return absl::OkStatus();
  const std::string path = context_.paths.dev + "/vfio/vfio";
  const int fd = context_.calls.Open(path);
  if (fd < 0) return ExplainOpenContainer(-fd, path);
  UniqueFd container(fd);
  const bool known =
      context_.calls.Ioctl(fd, VFIO_GET_API_VERSION, 0) == VFIO_API_VERSION &&
      context_.calls.Ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) > 0;
  if (!known) {
    return HostLacks(
        absl::StrCat(path,
                     ": this kernel has no VFIO type 1 IOMMU, version 2: run "
                     "modprobe vfio_iommu_type1"));
  }
  fd_ = std::move(container);
  return absl::OkStatus();
}

absl::Status Container::Join(Group& group, const DeviceFacts& device) {
  HostCalls& calls = context_.calls;
  vfio_group_status status{};
  status.argsz = sizeof status;
  const int asked =
      calls.Exchange(group.fd.get(), VFIO_GROUP_GET_STATUS, status);
  if (asked < 0) return ExplainOpenGroup(-asked, context_.paths, device);
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    return ExplainSetContainer(EPERM, device);
  }
  int container = fd_.get();
  const int set =
      calls.Exchange(group.fd.get(), VFIO_GROUP_SET_CONTAINER, container);
  if (set < 0) return ExplainSetContainer(-set, device);
  absl::Status joined;
  if (groups_.empty()) joined = SetIommu(device);
  if (joined.ok() && context_.kvm != nullptr) {
    joined = context_.kvm->Add(group.fd.get());
  }
  if (!joined.ok()) calls.Ioctl(group.fd.get(), VFIO_GROUP_UNSET_CONTAINER, 0);
  return joined;
}

absl::Status Container::SetIommu(const DeviceFacts& device) {
  const int set =
      context_.calls.Ioctl(fd_.get(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
  if (set < 0) return ExplainSetIommu(-set, device);
  ReadRanges();
  return absl::OkStatus();
}

// The capability chain of VFIO_IOMMU_GET_INFO, as far as it says where an
// iova may lie. Without it the kernel decides at each mapping.
void Container::ReadRanges() {
  ranges_.clear();
  std::vector<std::byte> bytes(sizeof(vfio_iommu_type1_info));
  for (int pass = 0; pass < 2; ++pass) {
    vfio_iommu_type1_info info{};
    info.argsz = static_cast<uint32_t>(bytes.size());
    std::memcpy(bytes.data(), &info, sizeof info);
    if (context_.calls.Ioctl(fd_.get(), VFIO_IOMMU_GET_INFO,
                             reinterpret_cast<uintptr_t>(bytes.data())) < 0) {
      return;
    }
    std::memcpy(&info, bytes.data(), sizeof info);
    if (info.argsz <= bytes.size()) break;
    bytes.resize(std::min<size_t>(info.argsz, 1 << 16));
  }
  vfio_iommu_type1_info info{};
  std::memcpy(&info, bytes.data(), sizeof info);
  if ((info.flags & VFIO_IOMMU_INFO_CAPS) == 0) return;
  size_t at = info.cap_offset;
  for (int hops = 0; at != 0 && hops < 32; ++hops) {
    vfio_info_cap_header header{};
    if (at > bytes.size() - sizeof header) return;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      vfio_iommu_type1_info_cap_iova_range list{};
      if (at > bytes.size() - sizeof list) return;
      std::memcpy(&list, bytes.data() + at, sizeof list);
      const size_t room =
          (bytes.size() - at - sizeof list) / sizeof(vfio_iova_range);
      for (size_t i = 0; i < std::min<size_t>(list.nr_iovas, room); ++i) {
        vfio_iova_range range{};
        std::memcpy(&range, bytes.data() + at + sizeof list + i * sizeof range,
                    sizeof range);
        ranges_.push_back({range.start, range.end});
      }
    }
    at = header.next;
  }
}

absl::StatusOr<Group*> Container::Enter(const DeviceFacts& device) {
  const uint32_t number = device.group.value_or(0);
  const auto known = std::ranges::find(groups_, number, &Group::number);
  if (known != groups_.end()) return &*known;
  const std::string path = absl::StrCat(context_.paths.dev, "/vfio/", number);
  const int fd = context_.calls.Open(path);
  if (fd < 0) return ExplainOpenGroup(-fd, context_.paths, device);
  Group group{.number = number, .fd = UniqueFd(fd), .devices = {}};
  KVMLET_RETURN_IF_ERROR(Join(group, device));
  groups_.push_back(std::move(group));
  return &groups_.back();
}

// Gives the group back when no device of it is left. The container's mappings
// and its kind of IOMMU go with the last group.
void Container::LeaveLocked(uint32_t number, const std::string* bdf) {
  const auto group = std::ranges::find(groups_, number, &Group::number);
  CHECK(group != groups_.end());
  if (bdf != nullptr) {
    group->devices.erase(std::ranges::find(group->devices, *bdf));
    RemoveDevice();
  }
  if (!group->devices.empty()) return;
  if (context_.kvm != nullptr) {
    const absl::Status status = context_.kvm->Remove(group->fd.get());
    LOG_IF(WARNING, !status.ok()) << "VFIO group " << number << ": " << status;
  }
  context_.calls.Ioctl(group->fd.get(), VFIO_GROUP_UNSET_CONTAINER, 0);
  groups_.erase(group);
}

absl::StatusOr<UniqueFd> Container::GetDevice(const Group& group,
                                              const DeviceFacts& device,
                                              const TokenDecision& token) {
  // "BDF vf_token=UUID" in a buffer of its own, which is wiped.
  std::array<char, 128> name{};
  size_t at = device.bdf.copy(name.data(), 64);
  if (token.send) {
    at += kTokenKey.copy(name.data() + at, kTokenKey.size());
    std::string text = token.send->Text();
    text.copy(name.data() + at, text.size());
    Wipe(text);
  }
  int fd = -EAGAIN;
  for (int i = 0; i < kTries && fd == -EAGAIN; ++i) {
    if (i > 0) std::this_thread::sleep_for(kTryAfter);
    fd =
        context_.calls.Exchange(group.fd.get(), VFIO_GROUP_GET_DEVICE_FD, name);
  }
  ::explicit_bzero(name.data(), name.size());
  if (fd < 0) {
    return ExplainGetDevice(
        -fd, device, {.sent = token.send.has_value(), .fresh = token.fresh});
  }
  return UniqueFd(fd);
}

absl::StatusOr<std::unique_ptr<DeviceHandle>> Container::DoOpen(
    const DeviceFacts& device, const TokenDecision& token) {
  if (handed_) return TakeHanded();
  KVMLET_RETURN_IF_ERROR(OpenContainer());
  KVMLET_ASSIGN_OR_RETURN(Group* const group, Enter(device));
  return Finish(group->number, device.bdf, GetDevice(*group, device, token));
}

absl::StatusOr<std::unique_ptr<DeviceHandle>> Container::TakeHanded() {
  fd_ = std::move(handed_->container);
  Group group{.number = handed_->group,
              .fd = std::move(handed_->group_file),
              .devices = {}};
  absl::StatusOr<UniqueFd> device = std::move(handed_->device);
  const std::string bdf = handed_->bdf;
  handed_.reset();
  ReadRanges();
  if (context_.kvm != nullptr) {
    KVMLET_RETURN_IF_ERROR(context_.kvm->Add(group.fd.get()));
  }
  const uint32_t number = group.number;
  groups_.push_back(std::move(group));
  return Finish(number, bdf, std::move(device));
}

absl::StatusOr<std::unique_ptr<DeviceHandle>> Container::Finish(
    uint32_t number, const std::string& bdf, absl::StatusOr<UniqueFd> fd) {
  absl::Status status = fd.status();
  if (status.ok()) status = AddDevice();
  if (!status.ok()) {
    if (fd.ok()) fd->Reset();
    LeaveLocked(number, nullptr);
    return status;
  }
  std::ranges::find(groups_, number, &Group::number)->devices.push_back(bdf);
  return std::make_unique<GroupDevice>(*this, number, bdf, *std::move(fd));
}

absl::StatusOr<HandedDevice> Container::OpenToHand(const DeviceFacts& device,
                                                   const TokenDecision& token) {
  KVMLET_RETURN_IF_ERROR(OpenContainer());
  KVMLET_ASSIGN_OR_RETURN(Group* const group, Enter(device));
  absl::StatusOr<UniqueFd> fd = GetDevice(*group, device, token);
  if (!fd.ok()) {
    LeaveLocked(group->number, nullptr);
    return fd.status();
  }
  HandedDevice handed{.bdf = device.bdf,
                      .group = group->number,
                      .container = std::move(fd_),
                      .group_file = std::move(group->fd),
                      .device = *std::move(fd)};
  groups_.clear();
  return handed;
}

int Container::DoMap(uint64_t iova, uint64_t size, const void* host) {
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof map;
  map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<uint64_t>(host);
  map.iova = iova;
  map.size = size;
  return context_.calls.Exchange(fd_.get(), VFIO_IOMMU_MAP_DMA, map);
}

int64_t Container::DoUnmap(uint64_t iova, uint64_t size) {
  vfio_iommu_type1_dma_unmap unmap{};
  unmap.argsz = sizeof unmap;
  unmap.iova = iova;
  unmap.size = size;
  const int result =
      context_.calls.Exchange(fd_.get(), VFIO_IOMMU_UNMAP_DMA, unmap);
  return result < 0 ? result : static_cast<int64_t>(unmap.size);
}

}  // namespace

std::unique_ptr<AddressSpace> MakeHandedContainer(
    const AddressSpace::Context& context, HandedDevice device) {
  return std::make_unique<Container>(context, std::move(device));
}

// What Container does for itself, for somebody else: no memory is mapped yet,
// and KVM hears of the group from whoever gets it.
absl::StatusOr<HandedDevice> OpenToHand(HostCalls& calls,
                                        const HostPaths& paths,
                                        const DeviceFacts& device,
                                        const TokenDecision& token) {
  Container container({.calls = calls, .paths = paths, .kvm = nullptr});
  return container.OpenToHand(device, token);
}

std::unique_ptr<AddressSpace> MakeContainer(
    const AddressSpace::Context& context) {
  return std::make_unique<Container>(context);
}

}  // namespace kvmlet::vfio
