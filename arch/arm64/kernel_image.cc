// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/kernel_image.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint32_t kImageMagic = 0x644d5241;   // "ARM\x64"
constexpr uint32_t kZbootMagic = 0x676d697a;   // "zimg"
constexpr uint32_t kElfMagic = 0x464c457f;     // "\x7f" "ELF"
constexpr uint32_t kSetupMagic = 0x53726448;   // "HdrS"
constexpr uint64_t kSetupMagicOffset = 0x202;  // of an x86 bzImage
constexpr uint16_t kDosMagic = 0x5a4d;         // "MZ"
// Where kernels were loaded that do not say, and flat binaries still are.
constexpr uint64_t kClassicOffset = 0x80000;
constexpr uint64_t kTwoMiB = 0x200000;

// booting.rst: the decompressed kernel image's header.
struct ImageHeader {
  uint32_t code[2];
  uint64_t text_offset;
  uint64_t image_size;
  uint64_t flags;
  uint64_t reserved[3];
  uint32_t magic;
  uint32_t pe_offset;
};
static_assert(sizeof(ImageHeader) == 64);

// Linux, drivers/firmware/efi/libstub/zboot-header.S.
struct ZbootHeader {
  uint16_t dos_magic;
  uint16_t padding;
  uint32_t magic;
  uint32_t payload_offset;
  uint32_t payload_size;
};
static_assert(sizeof(ZbootHeader) == 16);

bool IsZboot(const BootFile& file) {
  const auto header = file.Load<ZbootHeader>(0);
  return header && header->dos_magic == kDosMagic &&
         header->magic == kZbootMagic;
}

absl::StatusOr<BootFile> ZbootPayload(const BootFile& file) {
  const ZbootHeader header = *file.Load<ZbootHeader>(0);
  if (header.payload_size == 0 ||
      !file.Contains(header.payload_offset, header.payload_size)) {
    return file.Error("an EFI zboot image that is cut off; fetch it again");
  }
  return BootFile::FromBytes(
      "--kernel", file.path(),
      file.bytes().subspan(header.payload_offset, header.payload_size));
}

uint32_t PageSize(uint64_t flags) {
  switch (flags >> 1 & 3) {
    case 1:
      return 4096;
    case 2:
      return 16384;
    case 3:
      return 65536;
    default:
      return 0;
  }
}

absl::StatusOr<KernelPlan> PlanImage(const BootFile& file,
                                     const ImageHeader& header) {
  KernelPlan plan{.linux_image = true,
                  .text_offset = header.text_offset,
                  .memory_size = std::max(header.image_size, file.size()),
                  .page_size = PageSize(header.flags)};
  // Kernels before 3.17 leave the offset's byte order open, and mean this one.
  if (header.image_size == 0) plan.text_offset = kClassicOffset;
  if (plan.text_offset >= kTwoMiB || header.image_size > kMaxUnpackedKernel) {
    return file.Error(
        absl::StrCat("an arm64 Image with an impossible header (text offset 0x",
                     absl::Hex(header.text_offset), ", size 0x",
                     absl::Hex(header.image_size), "); is the file damaged?"));
  }
  return plan;
}

absl::StatusOr<KernelPlan> Plan(const BootFile& file) {
  const auto header = file.Load<ImageHeader>(0);
  if (header && header->magic == kImageMagic) return PlanImage(file, *header);
  if (file.Load<uint32_t>(kSetupMagicOffset) == kSetupMagic) {
    return file.Error("an x86 bzImage; this kvmlet runs arm64 kernels (Image)");
  }
  if (file.Load<uint32_t>(0) == kElfMagic) {
    return file.Error(
        "an ELF file; give the arm64 Image instead (arch/arm64/boot/Image of "
        "a Linux build, the .flat file of a test kernel)");
  }
  if (file.Load<uint16_t>(0) == kDosMagic) {
    return file.Error("an EFI program that is no arm64 kernel");
  }
  return KernelPlan{.text_offset = kClassicOffset, .memory_size = file.size()};
}

}  // namespace

absl::StatusOr<KernelImage> KernelImage::Examine(BootFile file,
                                                 size_t unpacked_limit) {
  if (IsZboot(file)) {
    KVMLET_ASSIGN_OR_RETURN(file, ZbootPayload(file));
  }
  KVMLET_RETURN_IF_ERROR(file.Unpack(unpacked_limit));
  KVMLET_ASSIGN_OR_RETURN(const KernelPlan plan, Plan(file));
  return KernelImage(std::move(file), plan);
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

absl::Status KernelImage::CheckPageSize(uint64_t mmfr0) const {
  // Arm ARM, ID_AA64MMFR0_EL1: TGran4, TGran64 and TGran16; the last counts
  // the other way round.
  const bool has4 = (mmfr0 >> 28 & 0xf) != 0xf;
  const bool has64 = (mmfr0 >> 24 & 0xf) != 0xf;
  const bool has16 = (mmfr0 >> 20 & 0xf) != 0;
  const bool fits = plan_.page_size == 4096    ? has4
                    : plan_.page_size == 16384 ? has16
                    : plan_.page_size == 65536 ? has64
                                               : true;
  if (fits) return absl::OkStatus();
  return file_.Error(absl::StrCat("a kernel with pages of ",
                                  plan_.page_size / 1024,
                                  " KiB, which this host's CPU does not have"));
}

}  // namespace kvmlet::arch::arm64
