// SPDX-License-Identifier: Apache-2.0
#include "tests/kvm/debugged_vcpu.h"

#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <cerrno>
#include <memory>

#include "tests/kvm/guest_code.h"

namespace kvmlet {

const arch::Debug& ProbedDebug() {
  static const std::unique_ptr<arch::Debug> kDebug =
      *arch::CreateDebug(*KvmSystem::Open());
  return *kDebug;
}

std::ostream& operator<<(std::ostream& out,
                         const DebuggedVcpu::Outcome& outcome) {
  using End = DebuggedVcpu::Outcome::End;
  if (outcome.end == End::kDone) return out << "through";
  if (outcome.end == End::kLost) {
    return out << "lost, KVM's exit " << outcome.exit_reason;
  }
  return out << "stop " << static_cast<int>(outcome.stop.reason) << " at 0x"
             << std::hex << outcome.stop.pc << std::dec;
}

DebuggedVcpu::Outcome DebuggedVcpu::Go(VcpuAction::Kind kind) {
  debug_.set_action({.kind = kind});
  const absl::Status status = debug_.Prepare(vcpu_);
  EXPECT_TRUE(status.ok()) << status;
  return Enter();
}

DebuggedVcpu::Outcome DebuggedVcpu::RunUndebugged() {
  Disarm();
  return Enter();
}

void DebuggedVcpu::Disarm() { EXPECT_TRUE(debug_.Disarm(vcpu_).ok()); }

DebuggedVcpu::Outcome DebuggedVcpu::Enter() {
  using End = Outcome::End;
  for (;;) {
    const int error = vcpu_.Run();
    if (error == EINTR || error == EAGAIN) continue;
    const kvm_run& run = vcpu_.run();
    if (error != 0) return {.exit_reason = ~0u};
    switch (run.exit_reason) {
      case KVM_EXIT_DEBUG:
        if (debug_.OnExit(vcpu_)) continue;
        return Stopped();
      case KVM_EXIT_MMIO: {
        const uint64_t door = run.mmio.phys_addr - GuestCode::kUnclaimed;
        if (door <= 8) {
          FinishAccess();
          return {.end = door == 0 ? End::kDone : End::kLost};
        }
        [[fallthrough]];
      }
      case KVM_EXIT_IO:
        if (debug_.OnAccess(vcpu_)) continue;
        FinishAccess();
        return Stopped();
      default:
        return {.exit_reason = run.exit_reason};
    }
  }
}

DebuggedVcpu::Outcome DebuggedVcpu::Stopped() {
  debug_.set_told_at(debug_.stop()->pc);
  return {.end = Outcome::End::kStop, .stop = *debug_.stop()};
}

void DebuggedVcpu::FinishAccess() const {
  while (vcpu_.CompletePendingAccess()) {
  }
  vcpu_.ClearExitRequest();
}

bool DebuggedVcpu::Insert(BreakpointType type, uint64_t address,
                          uint64_t length) {
  const auto space = ProbedDebug().ReadAddressSpace(vcpu_);
  return space.ok() &&
         breakpoints_
             .Insert({.type = type, .address = address, .length = length},
                     **space)
             .ok();
}

}  // namespace kvmlet
