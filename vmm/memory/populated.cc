// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/populated.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

using Runs = std::vector<PopulatedRun>;

constexpr uint64_t kPresent = 1ull << 63;
constexpr uint64_t kSwapped = 1ull << 62;

Runs Everything(const RamRegion& region) {
  return {{.offset = 0, .size = region.size}};
}

void Append(Runs& runs, uint64_t offset, uint64_t size) {
  if (!runs.empty() && runs.back().offset + runs.back().size == offset) {
    runs.back().size += size;
  } else {
    runs.push_back({.offset = offset, .size = size});
  }
}

// Pages of a memfd or file count wherever they are, in memory or swapped out.
std::optional<Runs> FromFile(const RamRegion& region, int fd) {
  const auto base = static_cast<off_t>(region.fd_offset);
  const off_t end = base + static_cast<off_t>(region.size);
  Runs runs;
  off_t at = base;
  while (at < end) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // none up to the file's end
    if (data < 0) return std::nullopt;
    if (data >= end) break;
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return std::nullopt;
    at = std::min(hole, end);
    Append(runs, static_cast<uint64_t>(data - base),
           static_cast<uint64_t>(at - data));
  }
  return runs;
}

std::optional<Runs> FromPageMap(const RamRegion& region) {
  const UniqueFd map(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!map.ok()) return std::nullopt;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t first = reinterpret_cast<uint64_t>(region.host) / page;
  const uint64_t pages = region.size / page;
  std::array<uint64_t, 4096> entries;
  Runs runs;
  for (uint64_t done = 0; done < pages;) {
    const uint64_t wanted = std::min<uint64_t>(pages - done, entries.size());
    const ssize_t got =
        ::pread(map.get(), entries.data(), wanted * sizeof(uint64_t),
                static_cast<off_t>((first + done) * sizeof(uint64_t)));
    if (got < 0 && errno == EINTR) continue;
    if (got < static_cast<ssize_t>(sizeof(uint64_t))) return std::nullopt;
    const uint64_t count = static_cast<uint64_t>(got) / sizeof(uint64_t);
    for (uint64_t i = 0; i < count; ++i) {
      if ((entries[i] & (kPresent | kSwapped)) == 0) continue;
      Append(runs, (done + i) * page, page);
    }
    done += count;
  }
  return runs;
}

}  // namespace

std::vector<PopulatedRun> PopulatedRuns(const RamRegion& region,
                                        const PageOrigin& origin) {
  constexpr uint64_t kSmallPage = 4096;
  std::optional<Runs> runs;
  if (origin.fd >= 0 && origin.page_size == kSmallPage) {
    runs = FromFile(region, origin.fd);
  } else if (origin.discards_to_zero) {
    runs = FromPageMap(region);
  }
  return runs ? *std::move(runs) : Everything(region);
}

}  // namespace kvmlet
