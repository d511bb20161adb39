// SPDX-License-Identifier: Apache-2.0
// Statistics as the text that Prometheus scrapes. KVM's names are kept, behind
// kvmlet_kvm_vm_ or kvmlet_kvm_vcpu_; units become base units (seconds, bytes)
// and a counter ends in _total. Thread-safe; no state.
// Specification: Prometheus' text exposition format, version 0.0.4.
#ifndef KVMLET_VMM_CONTROL_PROMETHEUS_H_
#define KVMLET_VMM_CONTROL_PROMETHEUS_H_

#include <span>
#include <string>
#include <string_view>

#include "vmm/base/stats.h"

namespace kvmlet {

// Every sample is labelled with the machine's name, when it has one.
std::string PrometheusText(std::string_view vm_name,
                           std::span<const StatsGroup> groups);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_PROMETHEUS_H_
