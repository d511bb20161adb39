// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/guest_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"
#include "vmm/memory/bus_errors.h"

namespace kvmlet {
namespace {

constexpr uint64_t k2MiB = 2ull << 20;
constexpr uint64_t k1GiB = 1ull << 30;
// No processor has more physical address bits.
constexpr uint64_t kAddressLimit = 1ull << 56;

absl::Status CheckRanges(std::span<const RamRange> ranges, uint64_t page) {
  uint64_t end = 0;
  for (const RamRange& range : ranges) {
    if (range.size == 0 || range.size % page != 0 ||
        range.base.value % page != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--memory: a range of ", range.size, " bytes at ", range.base.value,
          " is not a multiple of the page size ", page));
    }
    if (range.base.value >= kAddressLimit ||
        range.size > kAddressLimit - range.base.value) {
      return absl::InvalidArgumentError(
          "--memory: more than a processor can address");
    }
    if (range.base.value < end) {
      return absl::InvalidArgumentError("guest memory ranges overlap");
    }
    end = range.base.value + range.size;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GuestMemory> GuestMemory::Create(
    std::span<const RamRange> ranges, const BackingOptions& options,
    std::span<const NodeBinding> nodes) {
  const uint64_t page = BackingPageSize(options.kind);
  KVMLET_RETURN_IF_ERROR(CheckRanges(ranges, page));
  uint64_t total = 0;
  for (const RamRange& range : ranges) total += range.size;
  // Offsets into the reservation that keep guest and host congruent.
  const uint64_t alignment = total >= k1GiB ? k1GiB : k2MiB;
  std::vector<uint64_t> offsets;
  uint64_t span = 0;
  for (const RamRange& range : ranges) {
    span += (range.base.value - span) % alignment;
    offsets.push_back(span);
    span += range.size;
  }
  KVMLET_ASSIGN_OR_RETURN(Backing backing,
                          Backing::Open("--memory", options, total));
  GuestMemory memory(std::move(backing));
  KVMLET_ASSIGN_OR_RETURN(memory.mapping_,
                          MappedRegion::Reserve(span, alignment));
  uint64_t file_offset = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const RamRange& range = ranges[i];
    std::byte* const host = memory.mapping_.data() + offsets[i];
    KVMLET_RETURN_IF_ERROR(memory.backing_.Map(host, range.size, file_offset));
    memory.regions_.push_back({range.base, range.size, host, file_offset});
    file_offset += range.size;
  }
  // Where pages come from is settled before the first one comes.
  KVMLET_RETURN_IF_ERROR(memory.Bind(nodes));
  if (!options.prealloc) return memory;
  for (const RamRegion& region : memory.regions_) {
    KVMLET_RETURN_IF_ERROR(memory.backing_.Populate(region.host, region.size));
  }
  return memory;
}

absl::Status GuestMemory::Bind(std::span<const NodeBinding> nodes) const {
  auto region = regions_.begin();
  uint64_t used = 0;  // of that region
  for (const NodeBinding& node : nodes) {
    for (uint64_t left = node.size; left > 0 && region != regions_.end();) {
      const uint64_t part = std::min(left, region->size - used);
      KVMLET_RETURN_IF_ERROR(BindToHostNodes(
          "--numa host-nodes", region->host + used, part, node.host_nodes));
      left -= part;
      used += part;
      if (used < region->size) continue;
      ++region;
      used = 0;
    }
  }
  return absl::OkStatus();
}

void GuestMemory::AddFile(std::unique_ptr<FileMemory> file) {
  files_.push_back(std::move(file));
}

DeviceMemory& GuestMemory::AddDevice(std::unique_ptr<DeviceMemory> device) {
  devices_.push_back(std::move(device));
  return *devices_.back();
}

// The most common case first: boot RAM, in one or two regions.
std::byte* GuestMemory::Host(Gpa at, uint64_t length) const {
  for (const RamRegion& region : regions_) {
    if (region.Contains(at, length)) return region.host + (at - region.base);
  }
  for (const auto& device : devices_) {
    if (std::byte* host = device->Host(at, length)) return host;
  }
  for (const auto& file : files_) {
    const RamRegion& region = file->region();
    if (region.Contains(at, length)) return region.host + (at - region.base);
  }
  return nullptr;
}

iovec GuestMemory::HostFrom(Gpa at, uint64_t length) const {
  for (const RamRegion& region : regions_) {
    if (!region.Contains(at, 1)) continue;
    const uint64_t offset = at - region.base;
    return {region.host + offset, std::min(length, region.size - offset)};
  }
  for (const auto& device : devices_) {
    const iovec part = device->HostFrom(at, length);
    if (part.iov_len > 0) return part;
  }
  for (const auto& file : files_) {
    const RamRegion& region = file->region();
    if (!region.Contains(at, 1)) continue;
    const uint64_t offset = at - region.base;
    return {region.host + offset, std::min(length, region.size - offset)};
  }
  return {};
}

bool GuestMemory::Read(Gpa at, std::span<std::byte> out) const {
  const std::byte* host = Host(at, out.size());
  if (host == nullptr) return false;
  if (out.empty()) return true;  // and has perhaps no address
  const bool read = Guarded([&] { std::memcpy(out.data(), host, out.size()); });
  // The copy above is the only read: the compiler may not go back to RAM.
  asm volatile("" ::: "memory");
  return read;
}

bool GuestMemory::Write(Gpa at, std::span<const std::byte> data) const {
  std::byte* const host = Host(at, data.size());
  if (host == nullptr) return false;
  if (data.empty()) return true;
  const bool written =
      Guarded([&] { std::memcpy(host, data.data(), data.size()); });
  asm volatile("" ::: "memory");
  return written;
}

bool GuestMemory::Zero(Gpa at, uint64_t length) const {
  std::byte* const host = Host(at, length);
  if (host == nullptr) return false;
  return Guarded([&] { std::memset(host, 0, length); });
}

std::optional<uint16_t> GuestMemory::LoadAcquire16(Gpa at) const {
  std::byte* const host = Host(at, sizeof(uint16_t));
  if (host == nullptr || at.value % sizeof(uint16_t) != 0) return {};
  uint16_t value = 0;
  if (!Guarded([&] {
        value = __atomic_load_n(reinterpret_cast<uint16_t*>(host),
                                __ATOMIC_ACQUIRE);
      })) {
    return {};
  }
  return value;
}

bool GuestMemory::StoreRelease16(Gpa at, uint16_t value) const {
  std::byte* const host = Host(at, sizeof(uint16_t));
  if (host == nullptr || at.value % sizeof(uint16_t) != 0) return false;
  return Guarded([&] {
    __atomic_store_n(reinterpret_cast<uint16_t*>(host), value,
                     __ATOMIC_RELEASE);
  });
}

bool GuestMemory::Iovecs(Gpa at, uint64_t length,
                         std::vector<iovec>& out) const {
  const size_t before = out.size();
  while (length > 0) {
    const iovec part = HostFrom(at, length);
    if (part.iov_len == 0) {
      out.resize(before);
      return false;
    }
    out.push_back(part);
    at = at + part.iov_len;
    length -= part.iov_len;
  }
  return true;
}

std::optional<Gpa> GuestMemory::Find(const std::byte* host) const {
  const auto within = [host](const RamRegion& region) -> std::optional<Gpa> {
    if (host < region.host || host >= region.host + region.size) return {};
    return region.base + static_cast<uint64_t>(host - region.host);
  };
  for (const RamRegion& region : regions_) {
    if (const auto at = within(region)) return at;
  }
  for (const auto& device : devices_) {
    if (const auto at = within(device->Part(0, device->block_count()))) {
      return at;
    }
  }
  for (const auto& file : files_) {
    if (const auto at = within(file->region())) return at;
  }
  return {};
}

uint64_t GuestMemory::size() const {
  uint64_t total = 0;
  for (const RamRegion& region : regions_) total += region.size;
  return total;
}

absl::StatusOr<uint64_t> GuestMemory::Discard(const iovec& range) const {
  for (const auto& device : devices_) {
    if (device->Maps(range)) return device->DiscardWithin(range);
  }
  for (const auto& file : files_) {
    if (file->Maps(range)) return 0;  // not the host's to have back
  }
  return backing_.DiscardWithin(range);
}

absl::Status GuestMemory::Discard() const {
  for (const RamRegion& region : regions_) {
    const absl::Status status =
        backing_.Discard(region.host, region.size, region.fd_offset);
    if (status.ok()) continue;
    // A file system without hole punching: zero by hand.
    if (!Guarded([&] { std::memset(region.host, 0, region.size); })) {
      return absl::DataLossError(
          "the host has lost a page of --memory file=, and its file system "
          "cannot punch a hole for a new one");
    }
  }
  return absl::OkStatus();
}

}  // namespace kvmlet
