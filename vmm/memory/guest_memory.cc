// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/guest_memory.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr uint64_t k2MiB = 2ull << 20;
constexpr uint64_t k1GiB = 1ull << 30;
// No processor has more physical address bits.
constexpr uint64_t kAddressLimit = 1ull << 56;

uint64_t PageSize(BackingKind kind) {
  switch (kind) {
    case BackingKind::kHugetlb2M:
      return k2MiB;
    case BackingKind::kHugetlb1G:
      return k1GiB;
    case BackingKind::kAnonymous:
    case BackingKind::kMemfd:
    case BackingKind::kFile:
      return 4096;
  }
  return 4096;
}

absl::StatusOr<UniqueFd> OpenMemfd(BackingKind kind, uint64_t size) {
  unsigned flags = MFD_CLOEXEC;
  if (kind == BackingKind::kHugetlb2M) flags |= MFD_HUGETLB | MFD_HUGE_2MB;
  if (kind == BackingKind::kHugetlb1G) flags |= MFD_HUGETLB | MFD_HUGE_1GB;
  UniqueFd fd(::memfd_create("kvmlet-ram", flags));
  if (!fd.ok()) return PosixError(errno, "memfd_create for guest memory");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return PosixError(errno, absl::StrCat("size guest memory to ", size));
  }
  return fd;
}

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, uint64_t size) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.ok()) return CannotOpen(errno, absl::StrCat("--memory file=", path));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    return CannotOpen(errno, absl::StrCat("--memory file=", path));
  }
  if (S_ISREG(st.st_mode) && static_cast<uint64_t>(st.st_size) < size &&
      ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return PosixError(errno, absl::StrCat("--memory file=", path,
                                          ": cannot grow it to ", size));
  }
  return fd;
}

absl::StatusOr<UniqueFd> OpenBacking(const BackingOptions& options,
                                     uint64_t size) {
  switch (options.kind) {
    case BackingKind::kAnonymous:
      return options.shared ? OpenMemfd(BackingKind::kMemfd, size)
                            : absl::StatusOr<UniqueFd>(UniqueFd());
    case BackingKind::kMemfd:
    case BackingKind::kHugetlb2M:
    case BackingKind::kHugetlb1G:
      return OpenMemfd(options.kind, size);
    case BackingKind::kFile:
      return OpenFile(options.file, size);
  }
  return absl::InternalError("unknown memory backing");
}

// Hugetlb pages are reserved by mmap, so an empty pool is an ENOMEM here and
// not a SIGBUS in the guest.
absl::Status BackingError(const BackingOptions& options, uint64_t size) {
  const int error = errno;
  std::string remedy;
  if (options.kind == BackingKind::kHugetlb2M) {
    remedy = absl::StrCat("; it needs ", (size + k2MiB - 1) / k2MiB,
                          " free pages in /sys/kernel/mm/hugepages/"
                          "hugepages-2048kB/nr_hugepages");
  } else if (options.kind == BackingKind::kHugetlb1G) {
    remedy = absl::StrCat("; it needs ", (size + k1GiB - 1) / k1GiB,
                          " free pages in /sys/kernel/mm/hugepages/"
                          "hugepages-1048576kB/nr_hugepages");
  } else if (options.kind == BackingKind::kFile) {
    remedy = absl::StrCat("; ", options.file, " must be a regular file");
  } else {
    remedy = "; choose a smaller --memory";
  }
  return PosixError(error, absl::StrCat("--memory: map ", size >> 20,
                                        " MiB of guest memory", remedy));
}

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
    std::span<const RamRange> ranges, const BackingOptions& options) {
  KVMLET_RETURN_IF_ERROR(CheckRanges(ranges, PageSize(options.kind)));
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
  GuestMemory memory;
  KVMLET_ASSIGN_OR_RETURN(memory.fd_, OpenBacking(options, total));
  memory.page_size_ = std::max(PageSize(options.kind),
                               static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
  memory.shared_ =
      memory.fd_.ok() && (options.kind != BackingKind::kFile || options.shared);
  KVMLET_ASSIGN_OR_RETURN(memory.mapping_,
                          MappedRegion::Reserve(span, alignment));
  int flags = MAP_FIXED | (memory.shared_ ? MAP_SHARED : MAP_PRIVATE);
  if (!memory.shared_) flags |= MAP_NORESERVE;
  if (!memory.fd_.ok()) flags |= MAP_ANONYMOUS;
  if (options.prealloc) flags |= MAP_POPULATE;
  uint64_t file_offset = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const RamRange& range = ranges[i];
    std::byte* const host = memory.mapping_.data() + offsets[i];
    if (::mmap(host, range.size, PROT_READ | PROT_WRITE, flags,
               memory.fd_.get(),
               static_cast<off_t>(file_offset)) == MAP_FAILED) {
      return BackingError(options, total);
    }
    // Advice only: a kernel without THP refuses and the guest still runs.
    if (PageSize(options.kind) == 4096) {
      ::madvise(host, range.size, MADV_HUGEPAGE);
    }
    ::madvise(host, range.size, MADV_DONTDUMP);
    memory.regions_.push_back({range.base, range.size, host, file_offset});
    file_offset += range.size;
  }
  return memory;
}

const RamRegion* GuestMemory::Find(Gpa at, uint64_t length) const {
  for (const RamRegion& region : regions_) {
    if (region.Contains(at, length)) return &region;
  }
  return nullptr;
}

bool GuestMemory::Read(Gpa at, std::span<std::byte> out) const {
  const RamRegion* region = Find(at, out.size());
  if (region == nullptr) return false;
  if (out.empty()) return true;  // and has perhaps no address
  std::memcpy(out.data(), region->host + (at - region->base), out.size());
  // The copy above is the only read: the compiler may not go back to RAM.
  asm volatile("" ::: "memory");
  return true;
}

bool GuestMemory::Write(Gpa at, std::span<const std::byte> data) const {
  const RamRegion* region = Find(at, data.size());
  if (region == nullptr) return false;
  if (data.empty()) return true;
  std::memcpy(region->host + (at - region->base), data.data(), data.size());
  asm volatile("" ::: "memory");
  return true;
}

bool GuestMemory::Zero(Gpa at, uint64_t length) const {
  const RamRegion* region = Find(at, length);
  if (region == nullptr) return false;
  std::memset(region->host + (at - region->base), 0, length);
  return true;
}

std::optional<uint16_t> GuestMemory::LoadAcquire16(Gpa at) const {
  const RamRegion* region = Find(at, sizeof(uint16_t));
  if (region == nullptr || at.value % sizeof(uint16_t) != 0) return {};
  auto* word = reinterpret_cast<uint16_t*>(region->host + (at - region->base));
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

bool GuestMemory::StoreRelease16(Gpa at, uint16_t value) const {
  const RamRegion* region = Find(at, sizeof(uint16_t));
  if (region == nullptr || at.value % sizeof(uint16_t) != 0) return false;
  auto* word = reinterpret_cast<uint16_t*>(region->host + (at - region->base));
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
  return true;
}

bool GuestMemory::Iovecs(Gpa at, uint64_t length,
                         std::vector<iovec>& out) const {
  const size_t before = out.size();
  while (length > 0) {
    const auto region =
        std::find_if(regions_.begin(), regions_.end(),
                     [at](const RamRegion& r) { return r.Contains(at, 1); });
    if (region == regions_.end()) {
      out.resize(before);
      return false;
    }
    const uint64_t offset = at - region->base;
    const uint64_t part = std::min(length, region->size - offset);
    out.push_back({region->host + offset, part});
    at = at + part;
    length -= part;
  }
  return true;
}

uint64_t GuestMemory::size() const {
  uint64_t total = 0;
  for (const RamRegion& region : regions_) total += region.size;
  return total;
}

absl::StatusOr<uint64_t> GuestMemory::Discard(const iovec& range) const {
  const auto start = reinterpret_cast<uintptr_t>(range.iov_base);
  const uintptr_t first = (start + page_size_ - 1) / page_size_ * page_size_;
  const uintptr_t end = (start + range.iov_len) / page_size_ * page_size_;
  if (first >= end) return 0;
  auto* const host = static_cast<std::byte*>(range.iov_base) + (first - start);
  const int advice = shared_ ? MADV_REMOVE : MADV_DONTNEED;
  if (::madvise(host, end - first, advice) == 0) return end - first;
  return PosixError(errno, "give guest memory back to the host");
}

absl::Status GuestMemory::Discard() const {
  for (const RamRegion& region : regions_) {
    const int advice = shared_ ? MADV_REMOVE : MADV_DONTNEED;
    if (::madvise(region.host, region.size, advice) == 0) continue;
    // A file system without hole punching: zero by hand.
    std::memset(region.host, 0, region.size);
  }
  return absl::OkStatus();
}

}  // namespace kvmlet
