// SPDX-License-Identifier: Apache-2.0
// What the machine's control plane tells of counters: KVM's, and the exits
// that the vCPUs' threads have counted.
#include <glog/logging.h>

#include <utility>

#include "vmm/base/status_macros.h"
#include "vmm/kvm/exit_reasons.h"
#include "vmm/machine.h"

namespace kvmlet {
namespace {

std::vector<Stat> ExitStats(const Vcpu& vcpu) {
  std::vector<Stat> stats;
  for (size_t reason = 0; reason < kExitReasons; ++reason) {
    const uint64_t count = vcpu.exits(reason);
    if (count == 0) continue;
    stats.push_back({{.name = ExitReasonName(reason)}, {count}});
  }
  return stats;
}

Stat Nanoseconds(size_t reason, uint64_t time) {
  return {{.name = ExitReasonName(reason),
           .unit = StatUnit::kSeconds,
           .exponent = -9},
          {time}};
}

}  // namespace

absl::Status Machine::OpenExitTrace() {
  const std::optional<TraceExitsConfig>& config = context_.config.trace_exits;
  if (!config) return absl::OkStatus();
  KVMLET_ASSIGN_OR_RETURN(exit_trace_,
                          ExitTrace::Create(config->path, config->size,
                                            context_.config.cpus.count));
  return absl::OkStatus();
}

void Machine::OpenStats() {
  if (std::exchange(stats_opened_, true)) return;
  std::vector<KvmStats> opened;
  absl::Status status;
  const auto add = [&](const KvmFd& of) {
    absl::StatusOr<KvmStats> stats = KvmStats::Open(of);
    status.Update(stats.status());
    if (stats.ok()) opened.push_back(*std::move(stats));
  };
  add(vm_->fd());
  HurryConsoles(true);
  for (const auto& vcpu : vcpus_) {
    // Any request on a vCPU waits until its thread has left the guest.
    vcpu->RunOnThread([&](KvmVcpu& kvm) { add(kvm.fd()); });
  }
  if (state_ == RunState::kRunning) HurryConsoles(false);
  if (status.ok()) {
    kvm_stats_ = std::move(opened);
  } else {
    LOG(WARNING) << "statistics: " << status.message();
  }
}

absl::StatusOr<std::vector<StatsGroup>> Machine::Stats() {
  OpenStats();
  std::vector<StatsGroup> groups;
  for (size_t i = 0; i < kvm_stats_.size(); ++i) {
    StatsGroup group{.target = i == 0 ? StatsTarget::kVm : StatsTarget::kVcpu,
                     .vcpu = i == 0 ? 0 : static_cast<uint32_t>(i - 1),
                     .provider = "kvm",
                     .stats = {}};
    KVMLET_ASSIGN_OR_RETURN(group.stats, kvm_stats_[i].Read());
    groups.push_back(std::move(group));
  }
  for (StatsGroup& group : CountedExits()) groups.push_back(std::move(group));
  return groups;
}

std::vector<StatsGroup> Machine::CountedExits() const {
  std::vector<StatsGroup> groups;
  for (const auto& vcpu : vcpus_) {
    const auto add = [&](const char* provider, std::vector<Stat> stats) {
      groups.push_back({.target = StatsTarget::kVcpu,
                        .vcpu = vcpu->index(),
                        .provider = provider,
                        .stats = std::move(stats)});
    };
    add(kExitsProvider, ExitStats(*vcpu));
    if (exit_trace_ == nullptr) continue;
    const ExitRecorder& recorder = exit_trace_->recorder(vcpu->index());
    std::vector<Stat> monitor;
    std::vector<Stat> guest;
    for (size_t reason = 0; reason < kExitReasons; ++reason) {
      const ExitTotals totals = recorder.Totals(reason);
      if (totals.count == 0) continue;
      monitor.push_back(Nanoseconds(reason, totals.monitor));
      guest.push_back(Nanoseconds(reason, totals.guest));
    }
    add(kExitMonitorProvider, std::move(monitor));
    add(kExitGuestProvider, std::move(guest));
  }
  return groups;
}

}  // namespace kvmlet
