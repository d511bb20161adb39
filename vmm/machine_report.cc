// SPDX-License-Identifier: Apache-2.0
// Where the guest's vCPUs stand, for people, see vmm/symbols/kernel_report.h.
#include "absl/strings/str_cat.h"
#include "vmm/machine.h"
#include "vmm/symbols/kernel_report.h"

namespace kvmlet {

absl::StatusOr<std::string> Machine::RegistersText() {
  KernelReport kernel(symbols_ ? &*symbols_ : nullptr);
  std::string text;
  absl::Status status;
  HurryConsoles(true);
  // One that is in user mode, or not started, may not know.
  for (const auto& vcpu : vcpus_) {
    if (!kernel.wants_offset()) break;
    vcpu->RunOnThread(
        [&](KvmVcpu& kvm) { kernel.LookForOffset(kvm, *memory_); });
  }
  for (const auto& vcpu : vcpus_) {
    vcpu->RunOnThread([&](KvmVcpu& kvm) {
      const absl::StatusOr<std::string> registers =
          platform_->RegistersText(kvm);
      status.Update(registers.status());
      if (!registers.ok()) return;
      absl::StrAppend(&text, "vcpu ", vcpu->index(), ":\n", *registers,
                      kernel.BacktraceText(kvm, *memory_));
    });
  }
  if (state_ == RunState::kRunning) HurryConsoles(false);
  if (!status.ok()) return status;
  return absl::StrCat(kernel.Header(), text);
}

absl::StatusOr<std::string> Machine::KernelOffsetText(size_t vcpu) {
  KernelReport kernel(symbols_ ? &*symbols_ : nullptr);
  const auto look = [&](size_t at) {
    if (!kernel.wants_offset()) return;
    RunOnVcpu(at, [&](KvmVcpu& kvm) { kernel.LookForOffset(kvm, *memory_); });
  };
  look(vcpu);
  // One that is in user mode, or not started, may not know.
  for (size_t other = 0; other < vcpus_.size(); ++other) look(other);
  return kernel.OffsetText();
}

}  // namespace kvmlet
