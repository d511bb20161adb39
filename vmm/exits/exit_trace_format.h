// SPDX-License-Identifier: Apache-2.0
// The file of --trace-exits: a page of header, then for each vCPU a page of
// totals and a ring of records. Whoever reads it trusts nothing in it.
//
// Plain data, little-endian, no state. Times are in nanoseconds since the
// trace's start, of the host's CLOCK_MONOTONIC; sizes are in bytes.
#ifndef KVMLET_VMM_EXITS_EXIT_TRACE_FORMAT_H_
#define KVMLET_VMM_EXITS_EXIT_TRACE_FORMAT_H_

#include <cstdint>
#include <string_view>

#include "vmm/kvm/exit_reasons.h"

namespace kvmlet {

inline constexpr std::string_view kExitTraceMagic = "KVMLEXIT";
inline constexpr uint32_t kExitTraceVersion = 1;
inline constexpr uint64_t kExitTracePage = 4096;
inline constexpr uint32_t kExitTraceMostVcpus = 4096;
// Of the whole file.
inline constexpr uint64_t kExitTraceMostBytes = 256 << 20;

struct ExitTraceHeader {
  char magic[8] = {};
  uint32_t version = 0;
  uint32_t vcpus = 0;
  uint64_t capacity = 0;  // records a vCPU
  uint32_t record_size = 0;
  uint32_t reasons = 0;   // kExitReasons
  uint64_t realtime = 0;  // of the start, since 1970
  uint64_t end = 0;       // 0 until the monitor has ended in order
};
static_assert(sizeof(ExitTraceHeader) == 48);

// Of all exits with one reason, also of those whose records were overwritten.
struct ExitTotals {
  uint64_t count = 0;
  uint64_t monitor = 0;  // time in the monitor, after the exit
  uint64_t monitor_max = 0;
  uint64_t guest = 0;  // time in KVM_RUN, before the exit
  uint64_t guest_max = 0;
};

struct ExitTraceVcpu {
  // Records so far; the one with number n is in place n % capacity.
  uint64_t written = 0;
  uint64_t unused[7] = {};
  ExitTotals totals[kExitReasons] = {};
};
static_assert(sizeof(ExitTraceVcpu) <= kExitTracePage);

struct ExitRecord {
  uint64_t time = 0;     // of the exit
  uint32_t monitor = 0;  // UINT32_MAX: that or more, 4.3 s
  uint32_t guest = 0;
  // Bits 0-7: the reason. Bit 8: the guest wrote. Bits 9-15: bytes of one
  // access. Bits 16-63: the address of an MMIO access; the port, and from bit
  // 32 on how often, of port I/O; the type of a system event.
  uint64_t what = 0;
};
static_assert(sizeof(ExitRecord) == 24);

constexpr uint64_t ExitTraceStride(uint64_t capacity) {
  const uint64_t ring = capacity * sizeof(ExitRecord);
  return kExitTracePage +
         (ring + kExitTracePage - 1) / kExitTracePage * kExitTracePage;
}

// Both for at most kExitTraceMostVcpus and kExitTraceMostBytes.
constexpr uint64_t ExitTraceBytes(uint64_t vcpus, uint64_t capacity) {
  return kExitTracePage + vcpus * ExitTraceStride(capacity);
}

// How many records a vCPU has in a file of this size; 0 when it is too small.
constexpr uint64_t ExitTraceCapacity(uint64_t bytes, uint64_t vcpus) {
  if (bytes < kExitTracePage) return 0;
  const uint64_t pages = (bytes - kExitTracePage) / vcpus / kExitTracePage;
  if (pages < 2) return 0;
  return (pages - 1) * kExitTracePage / sizeof(ExitRecord);
}

}  // namespace kvmlet

#endif  // KVMLET_VMM_EXITS_EXIT_TRACE_FORMAT_H_
