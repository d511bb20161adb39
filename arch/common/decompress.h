// SPDX-License-Identifier: Apache-2.0
// Unpacks what kernels come packed in: gzip (RFC 1952), zstd (RFC 8878), lz4
// (both its frame and its legacy container) and xz, told apart by their first
// bytes. The output is bounded by the caller before a byte of it exists, so a
// decompression bomb ends in an error. Sizes are in bytes; a damaged input is
// InvalidArgument, in one line without the file's name. Thread-safe.
#ifndef KVMLET_ARCH_COMMON_DECOMPRESS_H_
#define KVMLET_ARCH_COMMON_DECOMPRESS_H_

#include <cstddef>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"

namespace kvmlet::arch {

enum class Compression {
  kNone,
  kGzip,
  kZstd,
  kLz4Frame,
  kLz4Legacy,
  kXz,
  // Known by sight only, for a clear error.
  kBzip2,
  kLzma,
  kLzop,
};

Compression DetectCompression(std::span<const std::byte> input);
// "gzip", "zstd", ...
std::string_view CompressionName(Compression compression);

// Only pages where something was written hold memory.
struct Unpacked {
  MappedRegion region;
  size_t size = 0;
  std::span<const std::byte> bytes() const { return {region.data(), size}; }
};

// At most `limit` bytes come out. kNone and the three that are only known by
// sight are Unimplemented.
absl::StatusOr<Unpacked> Decompress(Compression compression,
                                    std::span<const std::byte> input,
                                    size_t limit);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_DECOMPRESS_H_
