// SPDX-License-Identifier: Apache-2.0
// The device file and IOMMUFD interface. A device is bound to the IOMMUFD,
// with its VF token, and attached to the one I/O address space of the guest.
#include <glog/logging.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"
#include "devices/vfio/address_space.h"
#include "devices/vfio/explain.h"
#include "devices/vfio/host_device.h"
#include "devices/vfio/uapi.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {
namespace {

constexpr int kTries = 20;
constexpr std::chrono::milliseconds kTryAfter{50};
constexpr size_t kMostRanges = 256;

class Iommufd : public AddressSpace {
 public:
  explicit Iommufd(const Context& context) : AddressSpace(context) {}
  ~Iommufd() override { CHECK_EQ(devices(), 0u) << "devices are still open"; }

  std::string_view name() const override { return "iommufd"; }
  void Leave(UniqueFd& fd, const std::string& bdf) {
    const std::lock_guard lock(mutex_);
    LeaveLocked(fd, &bdf);
  }
  bool HasOpen(std::string_view bdf) const {
    const std::lock_guard lock(mutex_);
    return std::ranges::count(open_, bdf) > 0;
  }

 protected:
  absl::StatusOr<std::unique_ptr<DeviceHandle>> DoOpen(
      const DeviceFacts& device, const TokenDecision& token) override;
  int DoMap(uint64_t iova, uint64_t size, const void* host) override;
  int64_t DoUnmap(uint64_t iova, uint64_t size) override;
  std::vector<IovaRange> Ranges() const override { return ranges_; }

 private:
  // With the name of the device, if it had come.
  void LeaveLocked(UniqueFd& fd, const std::string* bdf);
  absl::Status OpenIommu();
  absl::Status Bind(int fd, const DeviceFacts& device,
                    const TokenDecision& token);
  absl::Status Attach(int fd, const DeviceFacts& device);
  void ReadRanges();

  UniqueFd fd_;
  uint32_t ioas_ = 0;
  std::vector<IovaRange> ranges_;
  std::vector<std::string> open_;
};

class CdevDevice : public DeviceHandle {
 public:
  CdevDevice(Iommufd& space, std::string bdf, UniqueFd fd)
      : space_(space), bdf_(std::move(bdf)), fd_(std::move(fd)) {}
  ~CdevDevice() override { space_.Leave(fd_, bdf_); }
  int fd() const override { return fd_.get(); }
  bool HasOpen(std::string_view bdf) const override {
    return space_.HasOpen(bdf);
  }
  std::vector<int> GroupFiles(std::span<const uint32_t>) const override {
    return {};
  }

 private:
  Iommufd& space_;
  const std::string bdf_;
  UniqueFd fd_;
};

absl::Status Iommufd::OpenIommu() {
  if (fd_.ok()) return absl::OkStatus();
  const std::string path = context_.paths.dev + "/iommu";
  const int fd = context_.calls.Open(path);
  if (fd < 0) return ExplainOpenContainer(-fd, path);
  UniqueFd iommu(fd);
  IoasAlloc alloc{};
  alloc.size = sizeof alloc;
  const int made = context_.calls.Exchange(fd, kIoasAlloc, alloc);
  if (made < 0) return OsRefused(-made, absl::StrCat(path, ": IOAS_ALLOC"));
  ioas_ = alloc.out_ioas_id;
  fd_ = std::move(iommu);
  return absl::OkStatus();
}

absl::Status Iommufd::Bind(int fd, const DeviceFacts& device,
                           const TokenDecision& token) {
  BindIommufd bind{};
  // Older kernels know the shorter structure only.
  bind.argsz = token.send ? sizeof bind : kBindIommufdOldSize;
  bind.iommufd = fd_.get();
  if (token.send) {
    bind.flags = kBindFlagToken;
    bind.token_uuid_ptr =
        reinterpret_cast<uint64_t>(token.send->bytes().data());
  }
  int result = -EAGAIN;
  for (int i = 0; i < kTries && result == -EAGAIN; ++i) {
    if (i > 0) std::this_thread::sleep_for(kTryAfter);
    result = context_.calls.Exchange(fd, kBindIommufd, bind);
  }
  if (result >= 0) return absl::OkStatus();
  if (token.fresh && (result == -EINVAL || result == -E2BIG)) {
    // Kernels before 6.18.3 take no token here, and ask for none.
    KVMLET_RETURN_IF_ERROR(Bind(fd, device, TokenDecision{}));
    return SetToken(context_.calls, fd, *token.send);
  }
  return ExplainBind(-result, context_.paths, device,
                     {.sent = token.send.has_value(), .fresh = token.fresh});
}

absl::Status Iommufd::Attach(int fd, const DeviceFacts& device) {
  AttachIommufdPt attach{};
  attach.argsz = sizeof attach;
  attach.pt_id = ioas_;
  const int result = context_.calls.Exchange(fd, kAttachIommufdPt, attach);
  if (result < 0) return ExplainAttach(-result, device);
  ReadRanges();
  return AddDevice();
}

void Iommufd::ReadRanges() {
  std::vector<IoasRange> list(kMostRanges);
  IoasIovaRanges request{};
  request.size = sizeof request;
  request.ioas_id = ioas_;
  request.num_iovas = kMostRanges;
  request.allowed_iovas = reinterpret_cast<uint64_t>(list.data());
  ranges_.clear();
  if (context_.calls.Exchange(fd_.get(), kIoasIovaRanges, request) < 0) return;
  list.resize(std::min<size_t>(request.num_iovas, kMostRanges));
  for (const IoasRange& r : list) ranges_.push_back({r.start, r.last});
}

absl::StatusOr<std::unique_ptr<DeviceHandle>> Iommufd::DoOpen(
    const DeviceFacts& device, const TokenDecision& token) {
  KVMLET_RETURN_IF_ERROR(OpenIommu());
  if (device.cdev.empty()) {
    return HostLacks(
        absl::StrCat(device.bdf,
                     ": it has no device file (/dev/vfio/devices): the kernel "
                     "needs CONFIG_VFIO_DEVICE_CDEV; or leave iommufd out"));
  }
  const int opened = context_.calls.Open(
      absl::StrCat(context_.paths.dev, "/vfio/devices/", device.cdev));
  if (opened < 0) return ExplainOpenCdev(-opened, context_.paths, device);
  UniqueFd fd(opened);
  // KVM first: drivers may ask for it when they are bound.
  if (context_.kvm != nullptr) {
    KVMLET_RETURN_IF_ERROR(context_.kvm->Add(fd.get()));
  }
  absl::Status status = Bind(fd.get(), device, token);
  if (status.ok()) status = Attach(fd.get(), device);
  if (!status.ok()) {
    LeaveLocked(fd, nullptr);
    return status;
  }
  open_.push_back(device.bdf);
  return std::make_unique<CdevDevice>(*this, device.bdf, std::move(fd));
}

// KVM holds a reference to the device's own file: while it does, closing the
// descriptor would not give the device back.
void Iommufd::LeaveLocked(UniqueFd& fd, const std::string* bdf) {
  if (context_.kvm != nullptr) {
    const absl::Status status = context_.kvm->Remove(fd.get());
    LOG_IF(WARNING, !status.ok()) << "VFIO device: " << status;
  }
  if (bdf != nullptr) {
    open_.erase(std::ranges::find(open_, *bdf));
    // The space outlives its devices, unlike a container's: it is emptied, so
    // that the next device finds what is remembered and nothing else.
    RemoveDevice();
    if (devices() == 0) DoUnmap(0, UINT64_MAX);
  }
  fd.Reset();
}

int Iommufd::DoMap(uint64_t iova, uint64_t size, const void* host) {
  IoasMap map{};
  map.size = sizeof map;
  map.flags = kIoasMapFixedIova | kIoasMapReadable | kIoasMapWritable;
  map.ioas_id = ioas_;
  map.user_va = reinterpret_cast<uint64_t>(host);
  map.length = size;
  map.iova = iova;
  return context_.calls.Exchange(fd_.get(), kIoasMap, map);
}

int64_t Iommufd::DoUnmap(uint64_t iova, uint64_t size) {
  IoasUnmap unmap{};
  unmap.size = sizeof unmap;
  unmap.ioas_id = ioas_;
  unmap.iova = iova;
  unmap.length = size;
  const int result = context_.calls.Exchange(fd_.get(), kIoasUnmap, unmap);
  return result < 0 ? result : static_cast<int64_t>(unmap.length);
}

}  // namespace

std::unique_ptr<AddressSpace> MakeIommufd(
    const AddressSpace::Context& context) {
  return std::make_unique<Iommufd>(context);
}

}  // namespace kvmlet::vfio
