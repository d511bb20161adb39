// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/mapped_region.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {

MappedRegion::MappedRegion(MappedRegion&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedRegion& MappedRegion::operator=(MappedRegion&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) ::munmap(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

MappedRegion::~MappedRegion() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

absl::StatusOr<MappedRegion> MappedRegion::Map(size_t size, int protection,
                                               int flags, int fd,
                                               uint64_t offset) {
  void* at =
      ::mmap(nullptr, size, protection, flags, fd, static_cast<off_t>(offset));
  if (at == MAP_FAILED) {
    return OsRefused(errno, absl::StrCat("mmap of ", size, " bytes"));
  }
  return MappedRegion(static_cast<std::byte*>(at), size);
}

absl::StatusOr<MappedRegion> MappedRegion::Reserve(size_t size,
                                                   size_t alignment) {
  if (size > SIZE_MAX - alignment) {
    return OsRefused(ENOMEM,
                     absl::StrCat("reserve ", size, " bytes of address space"));
  }
  const size_t padded = size + alignment;
  void* at = ::mmap(nullptr, padded, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return OsRefused(
        errno, absl::StrCat("reserve ", padded, " bytes of address space"));
  }
  auto* start = static_cast<std::byte*>(at);
  const auto address = reinterpret_cast<uintptr_t>(at);
  const size_t head = (alignment - address % alignment) % alignment;
  if (head > 0) ::munmap(start, head);
  std::byte* base = start + head;
  const size_t tail = padded - head - size;
  if (tail > 0) ::munmap(base + size, tail);
  return MappedRegion(base, size);
}

}  // namespace kvmlet
