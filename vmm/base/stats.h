// SPDX-License-Identifier: Apache-2.0
// Counters of the machine as plain data, whoever counted them: KVM, or the
// monitor itself. The terms are those of KVM's binary statistics, which QMP's
// query-stats shares.
//
// Value types. A value's unit is unit * base^exponent.
// Specification: Documentation/virt/kvm/api.rst, 4.133 KVM_GET_STATS_FD.
#ifndef KVMLET_VMM_BASE_STATS_H_
#define KVMLET_VMM_BASE_STATS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace kvmlet {

enum class StatType {
  kCumulative,       // only grows
  kInstant,          // goes up and down
  kPeak,             // the largest there ever was
  kLinearHistogram,  // bucket i counts [i * bucket_size, (i+1) * bucket_size)
  kLogHistogram,     // bucket 0 counts 0, bucket i counts [2^(i-1), 2^i)
};

enum class StatUnit { kNone, kBytes, kSeconds, kCycles, kBoolean };

struct StatInfo {
  std::string name;
  StatType type = StatType::kCumulative;
  StatUnit unit = StatUnit::kNone;
  uint32_t base = 10;  // 2 or 10
  int32_t exponent = 0;
  uint32_t bucket_size = 0;  // kLinearHistogram only

  bool is_histogram() const {
    return type == StatType::kLinearHistogram ||
           type == StatType::kLogHistogram;
  }
};

// A histogram has several values, anything else one.
struct Stat {
  StatInfo info;
  std::vector<uint64_t> values;
};

// The monitor's own provider: how often a vCPU left the guest for the monitor,
// by KVM's exit reason.
inline constexpr char kExitsProvider[] = "__org.kvmlet_exits";
// With --trace-exits: the monitor's own time for those exits, and the time in
// KVM_RUN before them, in nanoseconds.
inline constexpr char kExitMonitorProvider[] = "__org.kvmlet_exit-monitor-time";
inline constexpr char kExitGuestProvider[] = "__org.kvmlet_exit-guest-time";

enum class StatsTarget { kVm, kVcpu };

// What one provider counted of one target.
struct StatsGroup {
  StatsTarget target = StatsTarget::kVm;
  uint32_t vcpu = 0;     // kVcpu only
  std::string provider;  // "kvm", or one of ours
  std::vector<Stat> stats;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_STATS_H_
