// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/mapped_bar.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {
namespace {

// The largest page that the host's and the IOMMU's page tables have.
constexpr uint64_t kLargestPage = 1ull << 30;

}  // namespace

absl::StatusOr<std::unique_ptr<MappedBar>> MappedBar::Create(
    HostDevice& device, uint8_t index, std::span<const Area> holes,
    GuestMapper& mapper) {
  std::unique_ptr<MappedBar> bar(new MappedBar(mapper));
  const Region& region = device.region(index);
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  bar->areas_ = MappableAreas(region, holes, page);
  if (bar->areas_.empty()) return bar;
  // Aligned as the BAR is, so that large pages can hold it.
  const uint64_t size = std::max(region.size, page);
  KVMLET_ASSIGN_OR_RETURN(
      bar->host_, MappedRegion::Reserve(size, std::min(size, kLargestPage)));
  int protection = region.readable ? PROT_READ : PROT_NONE;
  if (region.writable) protection |= PROT_WRITE;
  for (const Area& area : bar->areas_) {
    const int got = device.calls().MapOver(bar->host_.data() + area.offset,
                                           area.size, protection, device.fd(),
                                           region.file_offset + area.offset);
    if (got < 0) {
      return OsRefused(-got,
                       absl::StrCat(device.name(), ": mapping BAR ", index));
    }
  }
  return bar;
}

absl::Status MappedBar::Map(uint64_t address) {
  KVMLET_RETURN_IF_ERROR(Unmap());
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  // A BAR below a page may lie in the middle of one.
  if (address % page != 0) return absl::OkStatus();
  absl::Status status;
  for (const Area& area : areas_) {
    const auto slot = mapper_.MapHost(address + area.offset, area.size,
                                      host_.data() + area.offset);
    if (slot.ok()) slots_.push_back(*slot);
    status.Update(slot.status());
  }
  return status;
}

absl::Status MappedBar::Unmap() {
  absl::Status status;
  for (const uint32_t slot : slots_) status.Update(mapper_.UnmapHost(slot));
  slots_.clear();
  return status;
}

}  // namespace kvmlet::vfio
