// SPDX-License-Identifier: Apache-2.0
// Reads the file of --trace-exits, also one that a monitor still writes or was
// killed over. What the file says of itself is checked before it is believed:
// a short or a hostile one is an error, never a wild read.
//
// Thread-safe; no state. Times are in nanoseconds since the trace's start.
// Format: exit_trace_format.h.
#ifndef KVMLET_VMM_EXITS_EXIT_TRACE_READER_H_
#define KVMLET_VMM_EXITS_EXIT_TRACE_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/exits/exit_trace_format.h"

namespace kvmlet {

struct TracedExit {
  uint64_t time = 0;
  uint32_t monitor = 0;
  uint32_t guest = 0;
  uint32_t vcpu = 0;
  uint8_t reason = 0;  // below kExitReasons
  uint8_t size = 0;    // of one access, bytes
  bool write = false;
  uint64_t detail = 0;  // 48 bits
};

struct TracedVcpu {
  uint64_t exits = 0;
  uint64_t lost = 0;  // records of them that were overwritten
  std::array<ExitTotals, kExitReasons> totals{};
};

struct ExitTraceData {
  uint64_t realtime = 0;  // of the start, since 1970
  // 0: the monitor has not ended, or was killed.
  uint64_t end = 0;
  std::vector<TracedVcpu> vcpus{};
  std::vector<TracedExit> exits{};  // each vCPU's in order, one after the other
};

// `written_later` has each vCPU's count as it was after `file` was read, if
// somebody may have written meanwhile.
absl::StatusOr<ExitTraceData> ParseExitTrace(
    std::span<const std::byte> file,
    std::span<const uint64_t> written_later = {});

// Errors name the file.
absl::StatusOr<ExitTraceData> ReadExitTrace(const std::string& path);

}  // namespace kvmlet

#endif  // KVMLET_VMM_EXITS_EXIT_TRACE_READER_H_
