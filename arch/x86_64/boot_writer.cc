// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/boot_writer.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "arch/x86_64/layout.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t k4GiB = 1ull << 32;
constexpr uint64_t kPage = 4096;

bool Overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b ? b - a < a_size : a - b < b_size;
}

}  // namespace

const BootWriter::Range* BootWriter::Conflict(uint64_t start,
                                              uint64_t size) const {
  for (const Range& claim : claims_) {
    if (Overlap(start, size, claim.start, claim.size)) return &claim;
  }
  return nullptr;
}

bool BootWriter::InRam(uint64_t start, uint64_t size) const {
  // The guest enters with the low 4 GiB mapped and no more.
  if (size > k4GiB || start > k4GiB - size) return false;
  const bool in_map = std::any_of(
      map_.begin(), map_.end(), [start, size](const E820Entry& entry) {
        return entry.type == E820Type::kRam && start >= entry.base.value &&
               size <= entry.size &&
               start - entry.base.value <= entry.size - size;
      });
  std::vector<iovec> ignored;
  return in_map && memory_.Iovecs(Gpa{start}, size, ignored);
}

uint64_t BootWriter::RamBelow4GiB() const {
  uint64_t total = 0;
  for (const E820Entry& entry : map_) {
    if (entry.type != E820Type::kRam || entry.base.value >= k4GiB) continue;
    total += std::min(entry.size, k4GiB - entry.base.value);
  }
  return total;
}

absl::Status BootWriter::Claim(std::string_view who, Gpa at, uint64_t size) {
  if (size == 0) return absl::OkStatus();
  const std::string name(who);
  if (!InRam(at.value, size)) {
    return BadInput(absl::StrFormat(
        "%s: it needs %u bytes (%u MiB) at address 0x%x, which is not all RAM; "
        "the guest has %u MiB below 4 GiB, give it more with --memory",
        name, size, size >> 20, at.value, RamBelow4GiB() >> 20));
  }
  if (const Range* other = Conflict(at.value, size)) {
    return BadInput(absl::StrFormat(
        "%s: its %u bytes at address 0x%x overlap %s (%u bytes at 0x%x); the "
        "image cannot be loaded at the address it is linked for",
        name, size, at.value, other->who, other->size, other->start));
  }
  claims_.push_back({name, at.value, size});
  return absl::OkStatus();
}

absl::StatusOr<Gpa> BootWriter::ClaimHighest(std::string_view who,
                                             uint64_t size, uint64_t limit) {
  std::optional<uint64_t> best;
  for (const E820Entry& entry : map_) {
    if (entry.type != E820Type::kRam) continue;
    const uint64_t low = std::max(entry.base.value, kHighRamStart);
    uint64_t top = std::min(limit, k4GiB);
    if (entry.size < top && entry.base.value < top - entry.size) {
      top = entry.base.value + entry.size;
    }
    // Each turn lowers `top` to the start of a claim above it.
    while (top > low && size <= top - low) {
      const uint64_t start = (top - size) & ~(kPage - 1);
      if (start < low) break;
      const Range* other = Conflict(start, size);
      if (other == nullptr) {
        best = std::max(best.value_or(0), start);
        break;
      }
      top = other->start;
    }
  }
  if (!best) {
    return BadInput(absl::StrFormat(
        "%s: no %u free bytes (%u MiB) in a row below address 0x%x; the guest "
        "has %u MiB below 4 GiB, give it more with --memory",
        std::string(who), size, size >> 20, std::min(limit, k4GiB),
        RamBelow4GiB() >> 20));
  }
  KVMLET_RETURN_IF_ERROR(Claim(who, Gpa{*best}, size));
  return Gpa{*best};
}

absl::Status BootWriter::Write(std::string_view who, Gpa at,
                               std::span<const std::byte> bytes) {
  KVMLET_RETURN_IF_ERROR(Claim(who, at, bytes.size()));
  if (!memory_.Write(at, bytes)) {
    return absl::InternalError(
        absl::StrCat(std::string(who), " does not fit into one RAM region"));
  }
  return absl::OkStatus();
}

}  // namespace kvmlet::arch::x86_64
