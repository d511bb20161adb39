// SPDX-License-Identifier: Apache-2.0
// Owner of one mmap()ed range: unmaps it when it dies, moves but never copies.
// Not thread-safe; the bytes may be used by any thread while it lives. Sizes
// are in bytes.
#ifndef KVMLET_VMM_BASE_MAPPED_REGION_H_
#define KVMLET_VMM_BASE_MAPPED_REGION_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace kvmlet {

class MappedRegion {
 public:
  MappedRegion() = default;
  MappedRegion(MappedRegion&& other) noexcept;
  MappedRegion& operator=(MappedRegion&& other) noexcept;
  ~MappedRegion();

  // Plain mmap(); `fd` is -1 for anonymous memory.
  static absl::StatusOr<MappedRegion> Map(size_t size, int protection,
                                          int flags, int fd, uint64_t offset);
  // A PROT_NONE reservation whose address is a multiple of `alignment`.
  static absl::StatusOr<MappedRegion> Reserve(size_t size, size_t alignment);

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedRegion(std::byte* data, size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_MAPPED_REGION_H_
