// SPDX-License-Identifier: Apache-2.0
// What a trace of exits says, for people and for programs: a table by reason,
// the same as JSON, or every record as a line. Numbers of a damaged trace may
// be nonsense, but are printed.
//
// Thread-safe; no state. Times are in nanoseconds.
#ifndef KVMLET_VMM_EXITS_EXIT_REPORT_H_
#define KVMLET_VMM_EXITS_EXIT_REPORT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "vmm/exits/exit_trace_reader.h"

namespace kvmlet {

// How long something took, over many times.
struct TimeSummary {
  uint64_t total = 0;
  uint64_t mean = 0;
  uint64_t p50 = 0;  // percentiles are of the records that were kept
  uint64_t p99 = 0;
  uint64_t max = 0;
};

struct ReasonSummary {
  std::string reason;
  uint64_t exits = 0;
  TimeSummary monitor;
  TimeSummary guest;
  double share = 0;  // of the monitor's whole time, 0 to 1
};

// The costliest reason first.
std::vector<ReasonSummary> SummarizeExits(const ExitTraceData& trace);

std::string ExitTable(const ExitTraceData& trace);
// One line.
std::string ExitJson(const ExitTraceData& trace);
// All vCPUs' records in the order of time, one line each:
// "0.001234567 vcpu=0 io write port=0x3f8 size=1 times=1 monitor-ns=950
// guest-ns=1200".
void ListExits(const ExitTraceData& trace, std::ostream& out);

}  // namespace kvmlet

#endif  // KVMLET_VMM_EXITS_EXIT_REPORT_H_
