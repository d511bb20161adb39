// SPDX-License-Identifier: Apache-2.0
// The file of --kernel, examined once: an arm64 Image, plain, packed with
// gzip, zstd, lz4 or xz, or inside an EFI zboot wrapper; or a flat binary
// without any header, as test kernels are. Immutable, so LoadGuest may use it
// again at a reboot; thread-safe after that. Errors are one line that begins
// "--kernel PATH" (see boot_file.h).
// Specification: Linux, Documentation/arch/arm64/booting.rst, section 4.
#ifndef KVMLET_ARCH_ARM64_KERNEL_IMAGE_H_
#define KVMLET_ARCH_ARM64_KERNEL_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/common/boot_file.h"

namespace kvmlet::arch::arm64 {

// No kernel is larger than this once it is unpacked.
inline constexpr size_t kMaxUnpackedKernel = 1u << 30;

struct KernelPlan {
  bool linux_image = false;  // else a flat binary
  uint64_t text_offset = 0;  // from a 2 MiB boundary
  uint64_t memory_size = 0;  // bss and all; never less than the file
  uint32_t page_size = 0;    // 0: the header does not say
};

class KernelImage {
 public:
  static absl::StatusOr<KernelImage> Open(const std::string& path);
  // The same from memory, which is copied.
  static absl::StatusOr<KernelImage> FromBytes(
      std::string_view path, std::span<const std::byte> bytes,
      size_t unpacked_limit = kMaxUnpackedKernel);

  const BootFile& file() const { return file_; }
  const KernelPlan& plan() const { return plan_; }

  // Whether a CPU with this ID_AA64MMFR0_EL1 has the kernel's page size: one
  // that has not would spin before its first message.
  absl::Status CheckPageSize(uint64_t mmfr0) const;

 private:
  KernelImage(BootFile file, KernelPlan plan)
      : file_(std::move(file)), plan_(plan) {}
  static absl::StatusOr<KernelImage> Examine(BootFile file,
                                             size_t unpacked_limit);

  BootFile file_;
  KernelPlan plan_;
};

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_KERNEL_IMAGE_H_
