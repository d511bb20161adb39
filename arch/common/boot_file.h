// SPDX-License-Identifier: Apache-2.0
// A file that the guest boots from, a kernel or an initrd: opened and mapped
// once, examined through checked loads, and copied by the host's kernel
// straight from its page cache into guest RAM. Not thread-safe.
//
// Units: bytes. Errors begin with label(), "--kernel PATH"; one that cannot be
// opened exits with 66 and one with wrong content with 65 (exit_status.h).
#ifndef KVMLET_ARCH_COMMON_BOOT_FILE_H_
#define KVMLET_ARCH_COMMON_BOOT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/base/unique_fd.h"
#include "vmm/memory/gpa.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {

class BootFile {
 public:
  // A regular file that is not empty. `flag` is what names it: "--kernel".
  static absl::StatusOr<BootFile> Open(std::string_view flag,
                                       const std::string& path);
  // The same from memory, which is copied.
  static BootFile FromBytes(std::string_view flag, std::string_view path,
                            std::span<const std::byte> bytes);

  // Replaces the content by what it unpacks to, at most `limit` bytes; leaves
  // an uncompressed file alone. Packed twice is an error.
  absl::Status Unpack(size_t limit);

  const std::string& label() const { return label_; }
  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  uint64_t size() const { return bytes_.size(); }
  // [offset, offset + length) lies in the file.
  bool Contains(uint64_t offset, uint64_t length) const {
    return length <= size() && offset <= size() - length;
  }
  template <typename T>
  std::optional<T> Load(uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (!Contains(offset, sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  // Copies a part of the file into guest RAM; both ranges are checked.
  absl::Status CopyTo(const GuestMemory& memory, Gpa at, uint64_t offset,
                      uint64_t length) const;

  // BadInput("LABEL: WHAT").
  absl::Status Error(std::string_view what) const;

 private:
  BootFile(std::string_view flag, std::string_view path);
  absl::Status ReadInto(const std::vector<iovec>& target,
                        uint64_t offset) const;
  absl::Status WriteInto(const GuestMemory& memory, Gpa at,
                         const std::vector<iovec>& target,
                         uint64_t offset) const;

  std::string path_;
  std::string label_;
  UniqueFd fd_;  // only while bytes_ are the file's own
  MappedRegion mapping_;
  std::vector<std::byte> owned_;
  std::span<const std::byte> bytes_;  // of mapping_ or of owned_
};

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_BOOT_FILE_H_
