// SPDX-License-Identifier: Apache-2.0
// The file of --kernel, examined once: bzImage, ELF vmlinux (PVH note or 64-bit
// entry), multiboot 1, or one of these packed with gzip, zstd, lz4 or xz, which
// is unpacked in memory. Immutable, so LoadGuest may use it again at a reboot;
// thread-safe after that. Errors are one line that begins "--kernel PATH" (see
// boot_file.h).
#ifndef KVMLET_ARCH_X86_64_KERNEL_IMAGE_H_
#define KVMLET_ARCH_X86_64_KERNEL_IMAGE_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "arch/common/boot_file.h"
#include "arch/x86_64/boot_plan.h"

namespace kvmlet::arch::x86_64 {

// No kernel is larger than this once it is unpacked.
inline constexpr size_t kMaxUnpackedKernel = 1u << 30;

class KernelImage {
 public:
  static absl::StatusOr<KernelImage> Open(const std::string& path);
  // The same from memory, which is copied.
  static absl::StatusOr<KernelImage> FromBytes(
      std::string_view path, std::span<const std::byte> bytes,
      size_t unpacked_limit = kMaxUnpackedKernel);

  const BootFile& file() const { return file_; }
  const KernelPlan& plan() const { return plan_; }

 private:
  KernelImage(BootFile file, KernelPlan plan)
      : file_(std::move(file)), plan_(std::move(plan)) {}
  static absl::StatusOr<KernelImage> Examine(BootFile file,
                                             size_t unpacked_limit);

  BootFile file_;
  KernelPlan plan_;
};

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_KERNEL_IMAGE_H_
