// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/kernel_image.h"

#include "arch/x86_64/bzimage.h"
#include "arch/x86_64/elf_image.h"
#include "arch/x86_64/multiboot.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

// Linux, Documentation/arch/arm64/booting.rst; and the self-unpacking EFI
// variant, which says its ISA nowhere near.
bool IsArm64Image(const BootFile& file) {
  return file.Load<uint32_t>(0x38) == 0x644d5241;  // "ARM\x64"
}
bool IsEfiZboot(const BootFile& file) {
  return file.Load<uint32_t>(4) == 0x676d697a;  // "zimg"
}

absl::StatusOr<KernelPlan> Plan(const BootFile& file) {
  if (IsBzImage(file)) return PlanBzImage(file);
  constexpr uint64_t kElfClass = 4;
  const bool elf64 = IsElf(file) && file.Load<uint8_t>(kElfClass) == 2;
  if (!elf64 && IsMultiboot(file)) return PlanMultiboot(file);
  if (IsElf(file)) return PlanElf(file);
  if (IsArm64Image(file)) {
    return file.Error(
        "an arm64 Image; this kvmlet runs x86-64 kernels (bzImage, vmlinux)");
  }
  if (IsEfiZboot(file)) {
    return file.Error(
        "an EFI zboot image, which no x86-64 kernel is; give a bzImage or a "
        "vmlinux");
  }
  return file.Error(
      "not a kernel kvmlet knows (bzImage, ELF vmlinux, multiboot 1, or one "
      "of them packed with gzip, zstd, lz4, xz); is it the right file?");
}

}  // namespace

absl::StatusOr<KernelImage> KernelImage::Examine(BootFile file,
                                                 size_t unpacked_limit) {
  KVMLET_RETURN_IF_ERROR(file.Unpack(unpacked_limit));
  KVMLET_ASSIGN_OR_RETURN(KernelPlan plan, Plan(file));
  return KernelImage(std::move(file), std::move(plan));
}

absl::StatusOr<KernelImage> KernelImage::Open(const std::string& path) {
  KVMLET_ASSIGN_OR_RETURN(BootFile file, BootFile::Open("--kernel", path));
  return Examine(std::move(file), kMaxUnpackedKernel);
}

absl::StatusOr<KernelImage> KernelImage::FromBytes(
    std::string_view path, std::span<const std::byte> bytes,
    size_t unpacked_limit) {
  return Examine(BootFile::FromBytes("--kernel", path, bytes), unpacked_limit);
}

}  // namespace kvmlet::arch::x86_64
