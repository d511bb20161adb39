// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/bzimage.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_format.h"
#include "arch/x86_64/layout.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kHeaderOffset = 0x1f1;
constexpr uint64_t kMagicOffset = 0x202;
constexpr uint32_t kMagic = 0x53726448;  // "HdrS"
constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint16_t kMinVersion = 0x20c;  // the first with xloadflags
constexpr uint64_t kSector = 512;
constexpr uint64_t kEntry64 = 0x200;
static_assert(offsetof(boot_params, hdr) == kHeaderOffset);
static_assert(kHeaderOffset + offsetof(setup_header, header) == kMagicOffset);
static_assert(kHeaderOffset + offsetof(setup_header, init_size) == 0x260);

// The header as the file has it: what lies beyond its own end reads as zero.
absl::StatusOr<setup_header> ReadHeader(const BootFile& file) {
  const auto whole = file.Load<setup_header>(kHeaderOffset);
  const auto length = file.Load<uint8_t>(kMagicOffset - 1);
  if (!whole || !length) {
    return file.Error(absl::StrFormat(
        "truncated bzImage: %u bytes do not hold the setup header",
        file.size()));
  }
  const uint64_t end = kMagicOffset + *length - kHeaderOffset;
  if (end < offsetof(setup_header, init_size) + sizeof(whole->init_size)) {
    return file.Error(absl::StrFormat(
        "damaged bzImage: its setup header is only %u bytes long", end));
  }
  setup_header header{};
  std::memcpy(&header, &*whole, std::min<uint64_t>(end, sizeof(header)));
  return header;
}

absl::Status CheckHeader(const BootFile& file, const setup_header& header) {
  if (header.boot_flag != kBootFlag) {
    return file.Error(
        absl::StrFormat("damaged bzImage: boot flag 0x%x instead of 0xaa55",
                        +header.boot_flag));
  }
  if (header.version < kMinVersion) {
    return file.Error(absl::StrFormat(
        "boot protocol %u.%02u is too old; kvmlet needs 2.12 (Linux 3.8)",
        header.version >> 8, header.version & 0xff));
  }
  if ((header.loadflags & LOADED_HIGH) == 0) {
    return file.Error("a zImage that loads low; kvmlet needs a bzImage");
  }
  if ((header.xloadflags & XLF_KERNEL_64) == 0) {
    return file.Error(
        "a 32-bit Linux kernel (no 64-bit entry point); kvmlet runs 64-bit "
        "ones");
  }
  return absl::OkStatus();
}

// The protected-mode part: where it lies in the file and how long it is.
absl::StatusOr<KernelSegment> FindPayload(const BootFile& file,
                                          const setup_header& header) {
  const uint64_t sectors = header.setup_sects == 0 ? 4 : header.setup_sects;
  const uint64_t offset = (sectors + 1) * kSector;
  const uint64_t size = uint64_t{header.syssize} * 16;
  const uint64_t packed_end =
      uint64_t{header.payload_offset} + header.payload_length;
  if (!file.Contains(offset, size)) {
    return file.Error(absl::StrFormat(
        "truncated bzImage: the header says %u bytes of payload after offset "
        "%u, the file has %u",
        size, offset, file.size()));
  }
  if (size <= kEntry64 || packed_end > size) {
    return file.Error(absl::StrFormat(
        "damaged bzImage: %u bytes of payload cannot hold the packed kernel, "
        "which ends at %u",
        size, packed_end));
  }
  return KernelSegment{offset, size, Gpa{}, 0};
}

// The preferred address, also for a relocatable kernel: the stub unpacks no
// lower than that, wherever it is loaded, so a lower place gains nothing.
absl::StatusOr<Gpa> LoadAddress(const BootFile& file,
                                const setup_header& header) {
  const uint64_t preferred = header.pref_address;
  if (preferred >= kHighRamStart) return Gpa{preferred};
  const uint64_t alignment = header.kernel_alignment;
  if (header.relocatable_kernel == 0 || !std::has_single_bit(alignment)) {
    return file.Error(absl::StrFormat(
        "damaged bzImage: it wants to be loaded at 0x%x, below 1 MiB",
        preferred));
  }
  return Gpa{std::max(kHighRamStart, alignment)};
}

}  // namespace

bool IsBzImage(const BootFile& file) {
  return file.Load<uint32_t>(kMagicOffset) == kMagic;
}

absl::StatusOr<KernelPlan> PlanBzImage(const BootFile& file) {
  KVMLET_ASSIGN_OR_RETURN(const setup_header header, ReadHeader(file));
  KVMLET_RETURN_IF_ERROR(CheckHeader(file, header));
  KVMLET_ASSIGN_OR_RETURN(KernelSegment payload, FindPayload(file, header));
  KVMLET_ASSIGN_OR_RETURN(payload.at, LoadAddress(file, header));
  payload.memory_size = std::max<uint64_t>(payload.file_size, header.init_size);
  KernelPlan plan;
  plan.protocol = BootProtocol::kLinux64;
  plan.entry = payload.at + kEntry64;
  plan.segments = {payload};
  plan.command_line_max = header.cmdline_size;
  plan.initrd_limit = uint64_t{header.initrd_addr_max} + 1;
  plan.header = header;
  return plan;
}

}  // namespace kvmlet::arch::x86_64
