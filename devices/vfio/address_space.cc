// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/address_space.h"

#include <glog/logging.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_format.h"
#include "devices/vfio/explain.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {
namespace {

uint64_t LockLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
  return limit.rlim_cur;
}

}  // namespace

uint64_t AddressSpace::mapped_bytes() const {
  const std::lock_guard lock(mutex_);
  return Total();
}

uint64_t AddressSpace::Total() const {
  uint64_t total = 0;
  for (const auto& [iova, mapping] : mappings_) {
    if (mapping.pages == Pages::kLocked) total += mapping.size;
  }
  return total;
}

absl::Status AddressSpace::CheckRange(uint64_t iova, uint64_t size) const {
  const std::vector<IovaRange> ranges = Ranges();
  const uint64_t last = iova + (size - 1);
  const bool inside =
      ranges.empty() || std::ranges::any_of(ranges, [&](const IovaRange& r) {
        return iova >= r.first && last <= r.last;
      });
  if (inside) return absl::OkStatus();
  return ExplainMap(EINVAL, {.iova = iova, .size = size});
}

absl::Status AddressSpace::MapNow(uint64_t iova, const Mapping& mapping) {
  KVMLET_RETURN_IF_ERROR(CheckRange(iova, mapping.size));
  const int result = DoMap(iova, mapping.size, mapping.host);
  if (result >= 0) return absl::OkStatus();
  return ExplainMap(-result, {.iova = iova,
                              .size = mapping.size,
                              .locked_limit = LockLimit(),
                              .locked_need = Total()});
}

absl::Status AddressSpace::Map(uint64_t iova, uint64_t size, const void* host,
                               Pages pages) {
  CHECK(size > 0 && size - 1 <= UINT64_MAX - iova);
  const std::lock_guard lock(mutex_);
  const auto after = mappings_.upper_bound(iova);
  const bool hits_next = after != mappings_.end() && after->first - iova < size;
  const bool hits_last =
      after != mappings_.begin() &&
      iova - std::prev(after)->first < std::prev(after)->second.size;
  if (hits_next || hits_last) {
    return absl::AlreadyExistsError(absl::StrFormat(
        "devices reach something at address %#x already", iova));
  }
  const auto [it, added] =
      mappings_.try_emplace(iova, Mapping{size, host, pages});
  if (devices_ == 0) return absl::OkStatus();
  absl::Status status = MapNow(iova, it->second);
  if (!status.ok()) mappings_.erase(it);
  return status;
}

absl::Status AddressSpace::Unmap(uint64_t iova) {
  const std::lock_guard lock(mutex_);
  const auto it = mappings_.find(iova);
  CHECK(it != mappings_.end()) << "nothing is mapped at " << iova;
  const uint64_t size = it->second.size;
  mappings_.erase(it);
  if (devices_ == 0) return absl::OkStatus();
  const int64_t unmapped = DoUnmap(iova, size);
  if (unmapped == static_cast<int64_t>(size)) return absl::OkStatus();
  // The pages stay pinned and within the devices' reach.
  return absl::InternalError(absl::StrFormat(
      "unmapping %#x, %d bytes: the kernel answered %d", iova, size, unmapped));
}

absl::Status AddressSpace::AddDevice() {
  if (devices_++ > 0) return absl::OkStatus();
  for (auto it = mappings_.begin(); it != mappings_.end(); ++it) {
    absl::Status status = MapNow(it->first, it->second);
    if (status.ok() || it->second.pages == Pages::kDevice) continue;
    while (it != mappings_.begin()) {
      --it;
      DoUnmap(it->first, it->second.size);
    }
    --devices_;
    return status;
  }
  return absl::OkStatus();
}

}  // namespace kvmlet::vfio
