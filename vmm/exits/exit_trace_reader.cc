// SPDX-License-Identifier: Apache-2.0
#include "vmm/exits/exit_trace_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

template <typename T>
T At(std::span<const std::byte> file, uint64_t offset) {
  T value;
  std::memcpy(&value, file.subspan(offset, sizeof(value)).data(),
              sizeof(value));
  return value;
}

// A header whose parts all lie in the file.
absl::StatusOr<ExitTraceHeader> CheckedHeader(std::span<const std::byte> file) {
  if (file.size() < sizeof(ExitTraceHeader)) {
    return BadInput("no trace of exits: it is too short");
  }
  const auto header = At<ExitTraceHeader>(file, 0);
  if (std::string_view(header.magic, sizeof(header.magic)) != kExitTraceMagic) {
    return BadInput("no trace of exits, as kvmlet run --trace-exits writes it");
  }
  if (header.version != kExitTraceVersion ||
      header.record_size != sizeof(ExitRecord) ||
      header.reasons != kExitReasons) {
    return BadInput(absl::StrCat("a trace of version ", header.version,
                                 "; read it with the kvmlet that wrote it"));
  }
  if (header.vcpus == 0 || header.vcpus > kExitTraceMostVcpus ||
      header.capacity == 0 ||
      header.capacity > kExitTraceMostBytes / sizeof(ExitRecord)) {
    return BadInput("damaged: its header makes no sense");
  }
  const uint64_t bytes = ExitTraceBytes(header.vcpus, header.capacity);
  if (file.size() < bytes) {
    return BadInput(absl::StrCat("cut short: it has ", file.size(),
                                 " bytes, its header speaks of ", bytes));
  }
  return header;
}

TracedExit Unpack(const ExitRecord& record, uint32_t vcpu) {
  return {.time = record.time,
          .monitor = record.monitor,
          .guest = record.guest,
          .vcpu = vcpu,
          .reason = static_cast<uint8_t>(
              std::min<uint64_t>(record.what & 0xff, kExitReasons - 1)),
          .size = static_cast<uint8_t>(record.what >> 9 & 0x7f),
          .write = (record.what >> 8 & 1) != 0,
          .detail = record.what >> 16};
}

// The records of the vCPU's part of the file that are whole. `later` is how
// many there were after it was read.
void ReadPart(std::span<const std::byte> part, uint64_t capacity, uint32_t vcpu,
              uint64_t later, bool ended, ExitTraceData& data) {
  const auto head = At<ExitTraceVcpu>(part, 0);
  const uint64_t kept = std::min(head.written, capacity);
  uint64_t overwritten = head.written - kept;
  // One that is being written may be half there.
  if (!ended) {
    const uint64_t begun = std::max(later, head.written);
    const uint64_t safe = begun >= capacity ? begun - capacity + 1 : 0;
    overwritten = std::clamp(safe, overwritten, head.written);
  }
  TracedVcpu& traced = data.vcpus.emplace_back();
  traced.exits = head.written;
  traced.lost = overwritten;
  std::ranges::copy(head.totals, traced.totals.begin());
  for (uint64_t left = head.written - overwritten; left > 0; --left) {
    const uint64_t place = (head.written - left) % capacity;
    data.exits.push_back(Unpack(
        At<ExitRecord>(part, kExitTracePage + place * sizeof(ExitRecord)),
        vcpu));
  }
}

absl::StatusOr<std::vector<std::byte>> ReadAll(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return CannotOpen(errno, "stat");
  if (!S_ISREG(st.st_mode)) return BadInput("not a regular file");
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size > kExitTraceMostBytes) {
    return BadInput(absl::StrCat("no trace of exits: it has more than ",
                                 kExitTraceMostBytes >> 20, " MiB"));
  }
  std::vector<std::byte> file(size);
  size_t have = 0;
  while (have < file.size()) {
    const ssize_t n = ::pread(fd, file.data() + have, file.size() - have,
                              static_cast<off_t>(have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CannotOpen(errno, "read");
    if (n == 0) break;  // somebody cuts it
    have += static_cast<size_t>(n);
  }
  file.resize(have);
  return file;
}

// Each vCPU's count as it is now; what cannot be read is left out.
std::vector<uint64_t> WrittenNow(int fd, const ExitTraceHeader& header) {
  std::vector<uint64_t> counts;
  const uint64_t stride = ExitTraceStride(header.capacity);
  for (uint32_t i = 0; i < header.vcpus; ++i) {
    uint64_t count = 0;
    const uint64_t at =
        kExitTracePage + i * stride + offsetof(ExitTraceVcpu, written);
    if (::pread(fd, &count, sizeof(count), static_cast<off_t>(at)) !=
        sizeof(count)) {
      break;
    }
    counts.push_back(count);
  }
  return counts;
}

absl::StatusOr<ExitTraceData> ReadOpen(int fd) {
  KVMLET_ASSIGN_OR_RETURN(const std::vector<std::byte> file, ReadAll(fd));
  KVMLET_ASSIGN_OR_RETURN(const ExitTraceHeader header, CheckedHeader(file));
  return ParseExitTrace(file, WrittenNow(fd, header));
}

}  // namespace

absl::StatusOr<ExitTraceData> ParseExitTrace(
    std::span<const std::byte> file, std::span<const uint64_t> written_later) {
  KVMLET_ASSIGN_OR_RETURN(const ExitTraceHeader header, CheckedHeader(file));
  ExitTraceData data{.realtime = header.realtime, .end = header.end};
  const uint64_t stride = ExitTraceStride(header.capacity);
  for (uint32_t i = 0; i < header.vcpus; ++i) {
    const uint64_t later = i < written_later.size() ? written_later[i] : 0;
    ReadPart(file.subspan(kExitTracePage + i * stride, stride), header.capacity,
             i, later, header.end != 0, data);
  }
  return data;
}

absl::StatusOr<ExitTraceData> ReadExitTrace(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return CannotOpen(errno, path);
  absl::StatusOr<ExitTraceData> data = ReadOpen(fd.get());
  if (data.ok()) return data;
  return Prefixed(path, data.status());
}

}  // namespace kvmlet
