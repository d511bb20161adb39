// SPDX-License-Identifier: Apache-2.0
#include "tests/kvm/kvm_required.h"

#include <chrono>

#include "arch/probe.h"
#include "vmm/kvm/kvm_system.h"

namespace kvmlet {

std::string WhyNoKvm() {
  const absl::StatusOr<KvmSystem> kvm = KvmSystem::Open();
  if (!kvm.ok()) return std::string(kvm.status().message());
  const absl::StatusOr<double> speed =
      arch::GuestInstructionsPerSecond(*kvm, std::chrono::milliseconds(2));
  return std::string(speed.status().message());
}

}  // namespace kvmlet
