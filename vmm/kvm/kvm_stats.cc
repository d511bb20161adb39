// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm_stats.h"

#include <linux/kvm.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr KvmCall kGetStatsFd{KVM_GET_STATS_FD, "KVM_GET_STATS_FD"};

// The descriptor before its name, as struct kvm_stats_desc has it; that one
// ends in an array whose length only the header knows.
struct Descriptor {
  uint32_t flags;
  int16_t exponent;
  uint16_t size;
  uint32_t offset;
  uint32_t bucket_size;
};
static_assert(sizeof(Descriptor) == 16);

// More than any kernel has, so that a broken count costs no memory.
constexpr uint32_t kMostDescriptors = 4096;
constexpr uint32_t kLongestName = 4096;

template <typename T>
std::optional<T> At(std::span<const std::byte> file, uint64_t offset) {
  if (offset > file.size() || sizeof(T) > file.size() - offset) return {};
  T value;
  std::memcpy(&value, file.data() + offset, sizeof(T));
  return value;
}

absl::Status Broken(const char* what) {
  return absl::InternalError(std::string("KVM's statistics: ") + what);
}

std::optional<StatType> TypeOf(uint32_t flags) {
  switch (flags & KVM_STATS_TYPE_MASK) {
    case KVM_STATS_TYPE_CUMULATIVE:
      return StatType::kCumulative;
    case KVM_STATS_TYPE_INSTANT:
      return StatType::kInstant;
    case KVM_STATS_TYPE_PEAK:
      return StatType::kPeak;
    case KVM_STATS_TYPE_LINEAR_HIST:
      return StatType::kLinearHistogram;
    case KVM_STATS_TYPE_LOG_HIST:
      return StatType::kLogHistogram;
    default:
      return {};
  }
}

std::optional<StatUnit> UnitOf(uint32_t flags) {
  // Newer than some headers.
  constexpr uint32_t kUnitBoolean = 4u << KVM_STATS_UNIT_SHIFT;
  switch (flags & KVM_STATS_UNIT_MASK) {
    case KVM_STATS_UNIT_NONE:
      return StatUnit::kNone;
    case KVM_STATS_UNIT_BYTES:
      return StatUnit::kBytes;
    case KVM_STATS_UNIT_SECONDS:
      return StatUnit::kSeconds;
    case KVM_STATS_UNIT_CYCLES:
      return StatUnit::kCycles;
    case kUnitBoolean:
      return StatUnit::kBoolean;
    default:
      return {};
  }
}

std::optional<uint32_t> BaseOf(uint32_t flags) {
  switch (flags & KVM_STATS_BASE_MASK) {
    case KVM_STATS_BASE_POW10:
      return 10;
    case KVM_STATS_BASE_POW2:
      return 2;
    default:
      return {};
  }
}

// Nothing for a kind of statistic that this monitor does not know.
std::optional<StatInfo> InfoOf(const Descriptor& descriptor, std::string name) {
  const auto type = TypeOf(descriptor.flags);
  const auto unit = UnitOf(descriptor.flags);
  const auto base = BaseOf(descriptor.flags);
  if (!type || !unit || !base || name.empty()) return {};
  StatInfo info{.name = std::move(name),
                .type = *type,
                .unit = *unit,
                .base = *base,
                .exponent = descriptor.exponent};
  if (info.is_histogram() ? descriptor.size == 0 : descriptor.size != 1) {
    return {};
  }
  if (info.type == StatType::kLinearHistogram) {
    info.bucket_size = descriptor.bucket_size;
  }
  return info;
}

absl::Status ReadAt(int fd, std::span<std::byte> out, uint64_t offset) {
  while (!out.empty()) {
    const ssize_t n =
        ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PosixError(errno, "read KVM's statistics");
    if (n == 0) return Broken("they end early");
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> DescriptorsEnd(const kvm_stats_header& header) {
  if (header.num_desc > kMostDescriptors || header.name_size == 0 ||
      header.name_size > kLongestName) {
    return Broken("unlikely numbers in the header");
  }
  const uint64_t stride = sizeof(Descriptor) + header.name_size;
  return header.desc_offset + header.num_desc * stride;
}

}  // namespace

absl::StatusOr<KvmStatsLayout> KvmStatsLayout::Parse(
    std::span<const std::byte> file) {
  const auto header = At<kvm_stats_header>(file, 0);
  if (!header) return Broken("no header");
  KVMLET_ASSIGN_OR_RETURN(const uint64_t end, DescriptorsEnd(*header));
  if (end > file.size()) return Broken("descriptors beyond the end");
  const uint64_t stride = sizeof(Descriptor) + header->name_size;
  KvmStatsLayout layout;
  layout.data_offset = header->data_offset;
  for (uint32_t i = 0; i < header->num_desc; ++i) {
    const uint64_t at = header->desc_offset + i * stride;
    const auto descriptor = *At<Descriptor>(file, at);
    const auto* text =
        reinterpret_cast<const char*>(file.data() + at + sizeof(Descriptor));
    std::string name(text, ::strnlen(text, header->name_size));
    std::optional<StatInfo> info = InfoOf(descriptor, std::move(name));
    if (!info) continue;
    layout.entries.push_back(
        {*std::move(info), descriptor.offset, descriptor.size});
    const uint64_t value_end =
        uint64_t{descriptor.offset} + uint64_t{descriptor.size} * 8;
    layout.data_size = std::max(layout.data_size, value_end);
  }
  // Every value of the largest kernel fits into this many times over.
  if (layout.data_size > (4u << 20)) return Broken("values too far away");
  return layout;
}

std::vector<Stat> KvmStatsLayout::Values(
    std::span<const std::byte> data) const {
  std::vector<Stat> stats;
  stats.reserve(entries.size());
  for (const Entry& entry : entries) {
    Stat stat{entry.info, std::vector<uint64_t>(entry.size)};
    std::memcpy(stat.values.data(), data.data() + entry.offset,
                size_t{entry.size} * 8);
    stats.push_back(std::move(stat));
  }
  return stats;
}

absl::StatusOr<KvmStats> KvmStats::Open(const KvmFd& of) {
  absl::StatusOr<int> opened = of.Call(kGetStatsFd);
  if (!opened.ok()) {
    return absl::UnavailableError(
        "this host's KVM has no binary statistics: use Linux 5.14 or newer");
  }
  UniqueFd fd(*opened);
  std::vector<std::byte> file(sizeof(kvm_stats_header));
  KVMLET_RETURN_IF_ERROR(ReadAt(fd.get(), file, 0));
  const auto header = *At<kvm_stats_header>(file, 0);
  KVMLET_ASSIGN_OR_RETURN(const uint64_t end, DescriptorsEnd(header));
  if (end > (kMostDescriptors * (sizeof(Descriptor) + kLongestName))) {
    return Broken("descriptors too far away");
  }
  file.resize(end);
  KVMLET_RETURN_IF_ERROR(ReadAt(fd.get(), file, 0));
  KVMLET_ASSIGN_OR_RETURN(KvmStatsLayout layout, KvmStatsLayout::Parse(file));
  return KvmStats(std::move(fd), std::move(layout));
}

absl::StatusOr<std::vector<Stat>> KvmStats::Read() const {
  std::vector<std::byte> data(layout_.data_size);
  KVMLET_RETURN_IF_ERROR(ReadAt(fd_.get(), data, layout_.data_offset));
  return layout_.Values(data);
}

}  // namespace kvmlet
