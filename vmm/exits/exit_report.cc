// SPDX-License-Identifier: Apache-2.0
#include "vmm/exits/exit_report.h"

#include <linux/kvm.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/text_table.h"
#include "vmm/control/json.h"

namespace kvmlet {
namespace {

// The records' times of one reason.
struct Samples {
  std::vector<uint32_t> monitor;
  std::vector<uint32_t> guest;
};

// The smallest time that at least `percent` of a hundred do not exceed.
uint64_t Percentile(std::vector<uint32_t>& times, size_t percent) {
  if (times.empty()) return 0;
  const size_t rank = (times.size() * percent + 99) / 100;
  const auto at = times.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::ranges::nth_element(times, at);
  return *at;
}

TimeSummary Summarize(uint64_t count, uint64_t total, uint64_t max,
                      std::vector<uint32_t>& times) {
  return {.total = total,
          .mean = total / std::max<uint64_t>(count, 1),
          .p50 = Percentile(times, 50),
          .p99 = Percentile(times, 99),
          .max = max};
}

ExitTotals Sum(const ExitTraceData& trace, size_t reason) {
  ExitTotals sum;
  for (const TracedVcpu& vcpu : trace.vcpus) {
    const ExitTotals& totals = vcpu.totals[reason];
    sum.count += totals.count;
    sum.monitor += totals.monitor;
    sum.monitor_max = std::max(sum.monitor_max, totals.monitor_max);
    sum.guest += totals.guest;
    sum.guest_max = std::max(sum.guest_max, totals.guest_max);
  }
  return sum;
}

uint64_t Exits(const ExitTraceData& trace) {
  uint64_t exits = 0;
  for (const TracedVcpu& vcpu : trace.vcpus) exits += vcpu.exits;
  return exits;
}

uint64_t Lost(const ExitTraceData& trace) {
  uint64_t lost = 0;
  for (const TracedVcpu& vcpu : trace.vcpus) lost += vcpu.lost;
  return lost;
}

void AddTimes(const TimeSummary& times, TextRow& row) {
  for (const uint64_t time : {times.mean, times.p50, times.p99, times.max}) {
    row.push_back(ShortTime(time));
  }
}

TextRow RowOf(const ReasonSummary& summary) {
  TextRow row = {summary.reason, absl::StrCat(summary.exits), "|",
                 ShortTime(summary.monitor.total),
                 absl::StrFormat("%.1f%%", summary.share * 100)};
  AddTimes(summary.monitor, row);
  row.insert(row.end(), {"|", ShortTime(summary.guest.total)});
  AddTimes(summary.guest, row);
  return row;
}

// What comes before the table.
std::string Heading(const ExitTraceData& trace) {
  uint64_t end = trace.end;
  for (const TracedExit& exit : trace.exits) end = std::max(end, exit.time);
  std::string text = absl::StrCat(
      Exits(trace), " exits of ", trace.vcpus.size(),
      trace.vcpus.size() == 1 ? " vCPU in " : " vCPUs in ", ShortTime(end),
      trace.end != 0 ? "\n" : " so far: the machine runs, or was killed\n");
  if (const uint64_t lost = Lost(trace); lost != 0) {
    absl::StrAppend(&text, "the records of the first ", lost,
                    " were overwritten: P50 and P99 are without them\n");
  }
  return text;
}

Json TimesJson(const TimeSummary& times) {
  return {{"total-ns", times.total},
          {"mean-ns", times.mean},
          {"p50-ns", times.p50},
          {"p99-ns", times.p99},
          {"max-ns", times.max}};
}

std::string Detail(const TracedExit& exit) {
  const char* way = exit.write ? "write" : "read";
  switch (exit.reason) {
    case KVM_EXIT_IO:
      return absl::StrFormat(" %s port=%#x size=%d times=%d", way,
                             exit.detail & 0xffff, exit.size,
                             exit.detail >> 16);
    case KVM_EXIT_MMIO:
      return absl::StrFormat(" %s at=%#x size=%d", way, exit.detail, exit.size);
    case KVM_EXIT_SYSTEM_EVENT:
      return absl::StrCat(" type=", exit.detail);
    default:
      return "";
  }
}

}  // namespace

std::vector<ReasonSummary> SummarizeExits(const ExitTraceData& trace) {
  std::array<Samples, kExitReasons> samples;
  for (const TracedExit& exit : trace.exits) {
    samples[exit.reason].monitor.push_back(exit.monitor);
    samples[exit.reason].guest.push_back(exit.guest);
  }
  std::vector<ReasonSummary> summaries;
  uint64_t all = 0;
  for (size_t reason = 0; reason < kExitReasons; ++reason) {
    const ExitTotals totals = Sum(trace, reason);
    Samples& of = samples[reason];
    if (totals.count == 0 && of.monitor.empty()) continue;
    all += totals.monitor;
    summaries.push_back({.reason = ExitReasonName(reason),
                         .exits = totals.count,
                         .monitor = Summarize(totals.count, totals.monitor,
                                              totals.monitor_max, of.monitor),
                         .guest = Summarize(totals.count, totals.guest,
                                            totals.guest_max, of.guest)});
  }
  for (ReasonSummary& summary : summaries) {
    if (all == 0) break;
    summary.share =
        static_cast<double>(summary.monitor.total) / static_cast<double>(all);
  }
  std::ranges::stable_sort(summaries,
                           [](const ReasonSummary& a, const ReasonSummary& b) {
                             return a.monitor.total > b.monitor.total;
                           });
  return summaries;
}

std::string ExitTable(const ExitTraceData& trace) {
  std::vector<TextRow> rows = {{"REASON", "EXITS", "|", "MONITOR", "SHARE",
                                "MEAN", "P50", "P99", "MAX", "|", "GUEST",
                                "MEAN", "P50", "P99", "MAX"}};
  for (const ReasonSummary& summary : SummarizeExits(trace)) {
    rows.push_back(RowOf(summary));
  }
  return Heading(trace) + TextTable(rows);
}

std::string ExitJson(const ExitTraceData& trace) {
  Json reasons = Json::array();
  for (const ReasonSummary& summary : SummarizeExits(trace)) {
    reasons.push_back({{"reason", summary.reason},
                       {"exits", summary.exits},
                       {"share", summary.share},
                       {"monitor", TimesJson(summary.monitor)},
                       {"guest", TimesJson(summary.guest)}});
  }
  Json vcpus = Json::array();
  for (const TracedVcpu& vcpu : trace.vcpus) {
    vcpus.push_back({{"exits", vcpu.exits}, {"lost", vcpu.lost}});
  }
  return DumpJson({{"start-ns", trace.realtime},
                   {"duration-ns", trace.end},
                   {"complete", trace.end != 0},
                   {"exits", Exits(trace)},
                   {"lost", Lost(trace)},
                   {"vcpus", std::move(vcpus)},
                   {"reasons", std::move(reasons)}}) +
         "\n";
}

void ListExits(const ExitTraceData& trace, std::ostream& out) {
  std::vector<uint32_t> order(trace.exits.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) {
    return trace.exits[a].time < trace.exits[b].time;
  });
  for (const uint32_t i : order) {
    const TracedExit& exit = trace.exits[i];
    out << absl::StrFormat("%d.%09d vcpu=%d %s%s monitor-ns=%d guest-ns=%d\n",
                           exit.time / 1'000'000'000, exit.time % 1'000'000'000,
                           exit.vcpu, ExitReasonName(exit.reason), Detail(exit),
                           exit.monitor, exit.guest);
  }
}

}  // namespace kvmlet
