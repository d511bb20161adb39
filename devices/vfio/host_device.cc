// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/host_device.h"

#include <glog/logging.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/vfio/hot_reset.h"
#include "devices/vfio/uapi.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::vfio {
namespace {

constexpr size_t kMostInfo = 1 << 16;

}  // namespace

absl::StatusOr<std::unique_ptr<HostDevice>> HostDevice::Create(
    HostCalls& calls, std::unique_ptr<DeviceHandle> handle, std::string name) {
  std::unique_ptr<HostDevice> device(
      new HostDevice(calls, std::move(handle), std::move(name)));
  KVMLET_RETURN_IF_ERROR(device->Describe());
  return device;
}

absl::StatusOr<Region> HostDevice::DescribeRegion(uint32_t index) {
  std::vector<std::byte> bytes(sizeof(vfio_region_info));
  for (int pass = 0; pass < 2; ++pass) {
    vfio_region_info info{};
    info.argsz = static_cast<uint32_t>(bytes.size());
    info.index = index;
    std::memcpy(bytes.data(), &info, sizeof info);
    const int got = calls_.Ioctl(fd(), VFIO_DEVICE_GET_REGION_INFO,
                                 reinterpret_cast<uintptr_t>(bytes.data()));
    // The VGA region of what is no VGA adapter, for one.
    if (got == -EINVAL) return Region{};
    if (got < 0) {
      return OsRefused(-got, absl::StrCat(name_, ": region ", index));
    }
    std::memcpy(&info, bytes.data(), sizeof info);
    if (info.argsz <= bytes.size()) break;
    bytes.resize(std::min<size_t>(info.argsz, kMostInfo));
  }
  return ParseRegion(bytes);
}

absl::Status HostDevice::Describe() {
  vfio_device_info info{};
  info.argsz = sizeof info;
  const int got = calls_.Exchange(fd(), VFIO_DEVICE_GET_INFO, info);
  if (got < 0) return OsRefused(-got, absl::StrCat(name_, ": GET_INFO"));
  if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0) {
    return BadInput(absl::StrCat(name_, ": not a PCI device"));
  }
  can_reset_ = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
  for (uint32_t i = 0; i < std::min(info.num_regions, kRegions); ++i) {
    KVMLET_ASSIGN_OR_RETURN(regions_[i], DescribeRegion(i));
  }
  for (uint32_t i = 0; i < std::min<size_t>(info.num_irqs, irqs_.size()); ++i) {
    vfio_irq_info irq{};
    irq.argsz = sizeof irq;
    irq.index = i;
    if (calls_.Exchange(fd(), VFIO_DEVICE_GET_IRQ_INFO, irq) < 0) continue;
    irqs_[i] = {.count = irq.count,
                .no_resize = (irq.flags & VFIO_IRQ_INFO_NORESIZE) != 0};
  }
  return absl::OkStatus();
}

void HostDevice::ReadRegion(uint32_t index, uint64_t offset,
                            std::span<std::byte> data) const {
  const Region& at = regions_[index];
  const bool inside =
      offset <= at.size && data.size() <= at.size - offset && at.readable;
  const ssize_t got =
      inside ? calls_.Read(fd(), data, at.file_offset + offset) : -1;
  if (got != static_cast<ssize_t>(data.size())) FillOnes(data);
}

void HostDevice::WriteRegion(uint32_t index, uint64_t offset,
                             std::span<const std::byte> data) const {
  const Region& at = regions_[index];
  const bool inside =
      offset <= at.size && data.size() <= at.size - offset && at.writable;
  if (inside) calls_.Write(fd(), data, at.file_offset + offset);
}

int HostDevice::SetIrqs(IrqIndex index, uint32_t action, uint32_t first,
                        std::span<const int> fds) {
  vfio_irq_set set{};
  std::vector<std::byte> bytes(sizeof set + fds.size_bytes());
  set.argsz = static_cast<uint32_t>(bytes.size());
  set.flags = action | (fds.empty() ? VFIO_IRQ_SET_DATA_NONE
                                    : VFIO_IRQ_SET_DATA_EVENTFD);
  set.index = static_cast<uint32_t>(index);
  set.start = first;
  set.count = static_cast<uint32_t>(fds.size());
  std::memcpy(bytes.data(), &set, sizeof set);
  if (!fds.empty()) {
    std::memcpy(bytes.data() + sizeof set, fds.data(), fds.size_bytes());
  }
  return calls_.Ioctl(fd(), VFIO_DEVICE_SET_IRQS,
                      reinterpret_cast<uintptr_t>(bytes.data()));
}

int HostDevice::SetTriggers(IrqIndex index, uint32_t first,
                            std::span<const int> fds) {
  CHECK(!fds.empty());
  return SetIrqs(index, VFIO_IRQ_SET_ACTION_TRIGGER, first, fds);
}

absl::Status HostDevice::SetUnmask(int event) {
  const int got = SetIrqs(IrqIndex::kIntx, VFIO_IRQ_SET_ACTION_UNMASK, 0,
                          std::span(&event, 1));
  if (got >= 0) return absl::OkStatus();
  return OsRefused(-got, absl::StrCat(name_, ": eventfd that unmasks INTx"));
}

void HostDevice::DisableIrqs(IrqIndex index) {
  const int got = SetIrqs(index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, {});
  // The kernel says EINVAL where there is nothing to disable.
  if (got < 0) VLOG(1) << name_ << ": disabling interrupts: errno " << -got;
}

absl::Status HostDevice::Reset() {
  if (!can_reset_) return HotReset(calls_, *handle_, name_, OthersOpen::kToo);
  const int got = calls_.Ioctl(fd(), VFIO_DEVICE_RESET, 0);
  if (got >= 0) return absl::OkStatus();
  return OsRefused(-got, absl::StrCat(name_, ": reset of the device"));
}

void HostDevice::ResetAtOpen() {
  if (can_reset_) return;
  const absl::Status status =
      HotReset(calls_, *handle_, name_, OthersOpen::kRefuse);
  LOG_IF(WARNING, !status.ok()) << status.message();
}

absl::Status SetToken(HostCalls& calls, int fd, const Token& token) {
  vfio_device_feature head{};
  std::array<std::byte, sizeof head + 16> request{};
  head.argsz = request.size();
  head.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;
  std::memcpy(request.data(), &head, sizeof head);
  std::memcpy(request.data() + sizeof head, token.bytes().data(), 16);
  const int got = calls.Exchange(fd, VFIO_DEVICE_FEATURE, request);
  ::explicit_bzero(request.data(), request.size());
  if (got >= 0) return absl::OkStatus();
  return OsRefused(-got, "setting the VF token of a physical function");
}

}  // namespace kvmlet::vfio
