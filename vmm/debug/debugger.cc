// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/debugger.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace kvmlet {

Debugger::Debugger(DebugTarget& target, std::unique_ptr<arch::Debug> arch,
                   bool stopped)
    : target_(target),
      arch_(std::move(arch)),
      breakpoints_(*arch_, target.memory()),
      spaces_(target.vcpu_count()),
      stopped_(stopped),
      requests_(target.vcpu_count()) {
  const VcpuDebug::Context context{.arch = *arch_,
                                   .memory = target.memory(),
                                   .breakpoints = breakpoints_,
                                   .stats = stats_};
  for (size_t i = 0; i < target.vcpu_count(); ++i) {
    vcpus_.push_back(std::make_unique<VcpuDebug>(context));
    vcpus_.back()->set_action({.kind = VcpuAction::Kind::kContinue});
  }
}

void Debugger::Attach(DebugListener& listener) {
  CHECK(listener_ == nullptr);
  listener_ = &listener;
  physical_ = false;
  non_stop_ = false;
  if (!stopped_) {
    Freeze();
    report_ = {.vcpu = SomeResumed()};
  }
}

void Debugger::Detach(bool stay_stopped) {
  listener_ = nullptr;
  non_stop_ = false;
  if (!stopped_) Freeze();
  breakpoints_.RemoveAll();
  catches_.Clear();
  last_caught_.clear();
  set_step_interrupts(false);
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    target_.RunOnVcpu(i, [this, i](KvmVcpu& kvm) {
      const absl::Status status = vcpus_[i]->Disarm(kvm);
      LOG_IF(WARNING, !status.ok()) << "debugger: " << status.message();
    });
    vcpus_[i]->set_action({.kind = VcpuAction::Kind::kContinue});
  }
  if (stay_stopped) return;
  const bool pending = std::exchange(pending_crash_, std::nullopt).has_value();
  if (std::exchange(crashed_, false) || pending) return target_.EndCrashed();
  ForgetSpaces();
  stopped_ = false;
  ++generation_;
  AskAgain();
  for (size_t i = 0; i < vcpus_.size(); ++i) target_.ResumeForDebugger(i);
}

void Debugger::Freeze() {
  target_.StopForDebugger();
  stopped_ = true;
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (!vcpus_[i]->stepping()) continue;
    target_.RunOnVcpu(i,
                      [this, i](KvmVcpu& kvm) { vcpus_[i]->Interrupt(kvm); });
  }
  if (lifted_) {
    breakpoints_.Drop(lifted_->at);
    vcpus_[lifted_->vcpu]->set_over(false);
  }
}

size_t Debugger::SomeResumed() const {
  const auto resumed = [this](size_t i) { return !held(i); };
  if (report_.vcpu < vcpus_.size() && resumed(report_.vcpu)) {
    return report_.vcpu;
  }
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (resumed(i)) return i;
  }
  return 0;
}

void Debugger::Interrupt() {
  if (non_stop_ && !crashed_) {
    Hold();
    HoldVcpu(SomeResumed(), DebugSignal::kInterrupt);
    return Release();
  }
  if (stopped_) return;
  Freeze();
  lifted_.reset();
  Tell({.vcpu = SomeResumed()});
}

void Debugger::Tell(const StopReport& report) {
  report_ = report;
  // Where the client saw it stand: going on passes a breakpoint set there.
  target_.RunOnVcpu(report.vcpu, [this, &report](KvmVcpu& kvm) {
    const absl::StatusOr<uint64_t> pc = arch_->ProgramCounter(kvm);
    if (pc.ok()) vcpus_[report.vcpu]->set_told_at(*pc);
  });
  if (listener_ != nullptr) listener_->OnStop(report_);
}

void Debugger::TellStop(size_t vcpu, const VcpuStop& stop) {
  StopReport report{.signal = DebugSignal::kTrap, .vcpu = vcpu};
  switch (stop.reason) {
    case VcpuStop::Reason::kStep:
    case VcpuStop::Reason::kSteppedOver:
    case VcpuStop::Reason::kPassing:
    case VcpuStop::Reason::kFailed:
      break;
    case VcpuStop::Reason::kSoftware:
      report.hit = BreakpointType::kSoftware;
      break;
    case VcpuStop::Reason::kHardware:
      report.hit = BreakpointType::kHardware;
      break;
    case VcpuStop::Reason::kWatch:
      report.hit = stop.key.type;
      report.data_address = stop.key.address;
      break;
    case VcpuStop::Reason::kCaught:
      report.text = absl::StrCat("catch ", stop.caught, ": vCPU ", vcpu, ", ",
                                 stop.text, "\n");
      last_caught_ = report.text;
      break;
  }
  vcpus_[vcpu]->ClearStop();
  Tell(report);
}

bool Debugger::OnDebugExit(size_t vcpu, const KvmVcpu& kvm) {
  return vcpus_[vcpu]->OnExit(kvm);
}

bool Debugger::OnDebugAccess(size_t vcpu, const KvmVcpu& kvm) {
  return vcpus_[vcpu]->OnAccess(kvm);
}

bool Debugger::OnDebugCatch(size_t vcpu, const KvmVcpu& kvm) {
  if (catches_.empty() || !catches_.Find(kvm)) return false;
  // Before the exit is handled: what the guest asks for by it waits.
  vcpus_[vcpu]->set_caught(true);
  return true;
}

void Debugger::OnDebugCaught(size_t vcpu, const KvmVcpu& kvm) {
  const std::optional<uint32_t> number = catches_.Find(kvm);
  if (number) vcpus_[vcpu]->OnCaught(*number, DescribeExit(kvm));
}

bool Debugger::KeepRequest(size_t vcpu, std::function<void()> request) {
  if (!caught(vcpu)) return false;
  requests_[vcpu] = std::move(request);
  return true;
}

// Before any vCPU runs: it does not, then, when what it asked for is granted.
void Debugger::AskAgain() {
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (held(i)) continue;
    vcpus_[i]->set_caught(false);
    const auto request = std::exchange(requests_[i], nullptr);
    if (request != nullptr) request();
  }
}

void Debugger::OnDebugStop(size_t vcpu) {
  // generation_ changes only while every vCPU is outside the guest.
  target_.Post([this, vcpu, run = generation_] { HandleStop(vcpu, run); });
}

void Debugger::HandleStop(size_t vcpu, uint64_t generation) {
  // Another vCPU was faster. This one meets its breakpoint again when it is
  // resumed, if it is still there; what IsPending waits in stop().
  if (stopped_ || generation != generation_) return;
  if (!vcpus_[vcpu]->stop()) return;
  if (non_stop_) {
    Hold();
    return Release();
  }
  Freeze();
  const VcpuStop stop = *vcpus_[vcpu]->stop();
  lifted_.reset();
  if (stop.reason == VcpuStop::Reason::kSteppedOver ||
      stop.reason == VcpuStop::Reason::kPassing) {
    vcpus_[vcpu]->ClearStop();
    if (stop.reason == VcpuStop::Reason::kPassing) {
      vcpus_[vcpu]->set_told_at(stop.pc);
      if (TellAnother()) return;
    }
    stopped_ = false;
    return Start();
  }
  TellStop(vcpu, stop);
}

// What another vCPU came to while one stopped for nothing that is told: a step
// that is done would be made twice.
bool Debugger::TellAnother() {
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    const std::optional<VcpuStop> stop = vcpus_[i]->stop();
    if (!stop || stop->reason == VcpuStop::Reason::kPassing || held(i)) {
      continue;
    }
    TellStop(i, *stop);
    return true;
  }
  return false;
}

// What cannot happen again when the vCPU goes on, unless nobody wants to know
// any more.
bool Debugger::IsPending(const VcpuStop& stop) const {
  if (stop.reason == VcpuStop::Reason::kCaught) {
    return catches_.contains(stop.caught);
  }
  return stop.reason == VcpuStop::Reason::kWatch &&
         breakpoints_.all().contains(stop.key);
}

// What was hit together with something else.
bool Debugger::TellPending() {
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    const std::optional<VcpuStop> stop = vcpus_[i]->stop();
    if (!stop || held(i) || !IsPending(*stop)) {
      continue;
    }
    TellStop(i, *stop);
    return true;
  }
  return false;
}

// False when a crash is there to be told, or has been and ends the machine.
bool Debugger::TakeActions(const std::vector<VcpuAction>& actions) {
  if (std::exchange(crashed_, false)) {
    target_.EndCrashed();
    return false;
  }
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    vcpus_[i]->set_action(actions[i]);
  }
  if (!pending_crash_) return true;
  StopReport report = *std::exchange(pending_crash_, std::nullopt);
  if (held(report.vcpu)) report.vcpu = SomeResumed();
  TellCrash(report);
  return false;
}

void Debugger::TellCrash(const StopReport& report) {
  crashed_ = true;
  if (non_stop_) {
    TellAllStand(report);
  } else {
    Tell(report);
  }
}

void Debugger::Resume(std::vector<VcpuAction> actions) {
  CHECK(stopped_);
  CHECK_EQ(actions.size(), vcpus_.size());
  if (!TakeActions(actions) || TellPending()) return;
  stopped_ = false;
  AskAgain();
  Start();
}

void Debugger::Start() {
  ++generation_;
  if (breakpoints_.any_patched() && StartLifted()) return;
  ForgetSpaces();
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    if (!held(i)) Launch(i);
  }
}

// One vCPU alone passes the breakpoint in memory that it stands on: while it
// is out of memory nobody else may run through there.
bool Debugger::StartLifted() {
  for (size_t i = 0; i < vcpus_.size(); ++i) {
    VcpuDebug& vcpu = *vcpus_[i];
    if (vcpu.action().kind == VcpuAction::Kind::kStay || !vcpu.told_at()) {
      continue;
    }
    const auto page = PageOf(i, *vcpu.told_at());
    if (!page || breakpoints_.PatchedAt(page->at) == nullptr) continue;
    breakpoints_.Lift(page->at);
    lifted_ = Lifted{.vcpu = i, .at = page->at};
    vcpu.set_over(vcpu.action().kind == VcpuAction::Kind::kContinue);
    ForgetSpaces();
    Launch(i);
    return true;
  }
  return false;
}

void Debugger::Launch(size_t vcpu) {
  absl::Status status;
  if (vcpus_[vcpu]->needs_prepare()) {
    target_.RunOnVcpu(
        vcpu, [&](KvmVcpu& kvm) { status = vcpus_[vcpu]->Prepare(kvm); });
  }
  LOG_IF(WARNING, !status.ok()) << "debugger: " << status.message();
  target_.ResumeForDebugger(vcpu);
}

void Debugger::OnVcpu(size_t vcpu,
                      const std::function<void(const KvmVcpu&)>& function) {
  target_.RunOnVcpu(vcpu, [&function](KvmVcpu& kvm) { function(kvm); });
}

absl::StatusOr<const arch::AddressSpace*> Debugger::Space(size_t vcpu) {
  if (spaces_[vcpu] == nullptr) {
    absl::StatusOr<std::unique_ptr<arch::AddressSpace>> space;
    OnVcpu(vcpu,
           [&](const KvmVcpu& kvm) { space = arch_->ReadAddressSpace(kvm); });
    if (!space.ok()) return space.status();
    spaces_[vcpu] = *std::move(space);
  }
  return spaces_[vcpu].get();
}

void Debugger::ForgetSpaces() {
  for (auto& space : spaces_) space.reset();
}

void Debugger::OnRegistersWritten(size_t vcpu) {
  spaces_[vcpu] = nullptr;
  vcpus_[vcpu]->set_told_at(std::nullopt);
}

void Debugger::set_step_interrupts(bool on) {
  step_interrupts_ = on;
  for (const auto& vcpu : vcpus_) vcpu->set_step_interrupts(on);
}

bool Debugger::OnCrash(DebugSignal signal, size_t vcpu, bool wait_for_client) {
  if (listener_ == nullptr && !wait_for_client) return false;
  StopReport report{.signal = signal, .vcpu = vcpu};
  if (vcpu >= vcpus_.size() ||
      vcpus_[vcpu]->action().kind == VcpuAction::Kind::kStay) {
    report.vcpu = SomeResumed();
  }
  if (stopped_) {
    pending_crash_ = report;
    return true;
  }
  Freeze();
  lifted_.reset();
  TellCrash(report);
  return true;
}

void Debugger::OnEnd(int exit_status, bool crashed) {
  if (listener_ != nullptr) listener_->OnGuestEnd(exit_status, crashed);
}

}  // namespace kvmlet
