// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/vcpu_debug.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "vmm/base/status_macros.h"

namespace kvmlet {

bool VcpuDebug::needs_prepare() const {
  return over_ || told_at_ || stop_ || step_ ||
         action_.kind != VcpuAction::Kind::kContinue ||
         armed_ != context_.breakpoints.control();
}

absl::Status VcpuDebug::Prepare(const KvmVcpu& vcpu) {
  stop_.reset();
  step_.reset();
  passing_ = false;
  const std::optional<uint64_t> told_at = told_at_;
  told_at_.reset();
  if (over_ || action_.kind != VcpuAction::Kind::kContinue) {
    return StartStep(vcpu);
  }
  if (told_at && !context_.breakpoints.control().slots.empty()) {
    KVMLET_ASSIGN_OR_RETURN(const uint64_t pc,
                            context_.arch.ProgramCounter(vcpu));
    if (pc == *told_at && HitsAgainAt(pc)) {
      passing_ = true;
      return StartStep(vcpu);
    }
  }
  return Arm(vcpu, context_.breakpoints.control());
}

bool VcpuDebug::HitsAgainAt(uint64_t pc) const {
  return watched_at_ == pc || context_.breakpoints.ExecuteSlotAt(pc) != nullptr;
}

absl::Status VcpuDebug::Arm(const KvmVcpu& vcpu,
                            const arch::DebugControl& control) {
  KVMLET_RETURN_IF_ERROR(context_.arch.Arm(vcpu, control));
  armed_ = control;
  return absl::OkStatus();
}

absl::Status VcpuDebug::StartStep(const KvmVcpu& vcpu) {
  arch::DebugControl control = context_.breakpoints.control();
  // A breakpoint at the instruction itself would stop it before it is done.
  if (!control.slots.empty()) {
    KVMLET_ASSIGN_OR_RETURN(const uint64_t pc,
                            context_.arch.ProgramCounter(vcpu));
    std::erase_if(control.slots, [this, pc](const arch::DebugSlot& slot) {
      if (slot.kind != arch::BreakKind::kExecute) return watched_at_ == pc;
      return slot.address == pc;
    });
  }
  control.block_interrupts = !step_interrupts_ || over_ || passing_;
  KVMLET_ASSIGN_OR_RETURN(
      step_, context_.arch.BeginStep(vcpu, context_.memory, control));
  context_.stats.steps.fetch_add(1, std::memory_order_relaxed);
  return Arm(vcpu, step_->control);
}

bool VcpuDebug::OnExit(const KvmVcpu& vcpu) {
  context_.stats.exits.fetch_add(1, std::memory_order_relaxed);
  const arch::DebugEvent event = context_.arch.ReadEvent(vcpu, armed_);
  // Told already, see OnAccess.
  if (stop_ && event.step) return true;
  if (!event.ours()) return GiveBack(vcpu, event);
  const bool landed = step_ && step_->landing && event.slot >= step_->landing;
  if (event.slot && !landed) return OnSlot(vcpu, event);
  if (event.instruction) return OnInstruction(vcpu, event);
  if (step_ && (event.step || landed)) return AfterStep(vcpu, event.pc);
  return GiveBack(vcpu, event);
}

// What KVM emulates to write to a device is over when the device hears of it,
// and KVM says nothing of the step, nor does it step any further.
bool VcpuDebug::OnAccess(const KvmVcpu& vcpu) {
  // Told already, as another part of the access.
  if (stop_) return true;
  if (!step_ || !step_->control.single_step) return true;
  const absl::StatusOr<uint64_t> pc = context_.arch.ProgramCounter(vcpu);
  if (!pc.ok()) return true;
  // Elsewhere it is a handler that asks: of an exception of the instruction,
  // which is not done then, or of an interrupt.
  constexpr uint64_t kLongestInstruction = 15;
  const uint64_t past = *pc - step_->pc;
  if (past == 0 || past > kLongestInstruction) return true;
  return AfterStep(vcpu, *pc);
}

void VcpuDebug::OnCaught(uint32_t number, std::string exit) {
  if (stop_ && stop_->reason == VcpuStop::Reason::kCaught) return;
  stop_ = VcpuStop{.reason = VcpuStop::Reason::kCaught,
                   .caught = number,
                   .text = std::move(exit)};
}

bool VcpuDebug::AfterStep(const KvmVcpu& vcpu, uint64_t pc) {
  BreakOff(vcpu);
  watched_at_.reset();
  if (passing_) {
    passing_ = false;
    return Try(vcpu, Arm(vcpu, context_.breakpoints.control()));
  }
  if (over_) return Stop(vcpu, {.reason = VcpuStop::Reason::kSteppedOver});
  const bool on = action_.kind == VcpuAction::Kind::kRange &&
                  pc >= action_.start && pc < action_.end &&
                  context_.breakpoints.ExecuteSlotAt(pc) == nullptr;
  if (on) return Try(vcpu, StartStep(vcpu));
  return Stop(vcpu, {.reason = VcpuStop::Reason::kStep, .pc = pc});
}

bool VcpuDebug::OnSlot(const KvmVcpu& vcpu, const arch::DebugEvent& event) {
  const arch::DebugSlot& slot = armed_.slots[*event.slot];
  const Breakpoint* owner = context_.breakpoints.OwnerOf(slot);
  const bool stepping = step_ && !passing_ && !over_;
  BreakOff(vcpu);
  context_.stats.hits.fetch_add(1, std::memory_order_relaxed);
  if (owner == nullptr) {
    // Only what the table has is ever armed.
    LOG(DFATAL) << "a debug slot without an owner";
    return Try(vcpu, Arm(vcpu, context_.breakpoints.control()));
  }
  if (!Meant(vcpu, *owner)) {
    // It arrived there by a step, which is told as such.
    if (stepping) return AfterStep(vcpu, event.pc);
    passing_ = true;
    return Try(vcpu, StartStep(vcpu));
  }
  VcpuStop stop{
      .reason = VcpuStop::Reason::kWatch, .pc = event.pc, .key = owner->key};
  if (slot.kind == arch::BreakKind::kExecute) {
    stop.reason = owner->key.type == BreakpointType::kSoftware
                      ? VcpuStop::Reason::kSoftware
                      : VcpuStop::Reason::kHardware;
  } else if (context_.arch.caps().watch_before_access) {
    watched_at_ = event.pc;
  }
  return Stop(vcpu, stop);
}

bool VcpuDebug::OnInstruction(const KvmVcpu& vcpu,
                              const arch::DebugEvent& event) {
  const auto space = context_.arch.ReadAddressSpace(vcpu);
  if (!space.ok()) return Try(vcpu, space.status());
  const auto page = (*space)->Translate(context_.memory, event.pc);
  const Breakpoint* const breakpoint =
      page ? context_.breakpoints.PatchedAt(page->at) : nullptr;
  if (breakpoint == nullptr) return GiveBack(vcpu, event);
  BreakOff(vcpu);
  context_.stats.hits.fetch_add(1, std::memory_order_relaxed);
  if (!Meant(vcpu, *breakpoint)) {
    return Stop(vcpu, {.reason = VcpuStop::Reason::kPassing, .pc = event.pc});
  }
  return Stop(vcpu, {.reason = VcpuStop::Reason::kSoftware, .pc = event.pc});
}

// What cannot be judged is for the client to see.
bool VcpuDebug::Meant(const KvmVcpu& vcpu, const Breakpoint& breakpoint) const {
  if (breakpoint.conditions.empty()) return true;
  context_.stats.conditions.fetch_add(1, std::memory_order_relaxed);
  const auto space = context_.arch.ReadAddressSpace(vcpu);
  if (!space.ok()) return true;
  const AgentExpression::Context context{
      .register_value = [&](size_t number) -> std::optional<uint64_t> {
        const auto bytes = context_.arch.ReadRegister(vcpu, number);
        if (!bytes.ok()) return std::nullopt;
        uint64_t value = 0;
        std::memcpy(&value, bytes->data(),
                    std::min(sizeof(value), bytes->size()));
        return value;
      },
      .read =
          [&](uint64_t address, std::span<std::byte> out) {
            while (!out.empty()) {
              const auto page = (*space)->Translate(context_.memory, address);
              if (!page) return false;
              const size_t part = std::min<uint64_t>(page->left, out.size());
              if (!context_.breakpoints.Read(page->at, out.first(part))) {
                return false;
              }
              address += part;
              out = out.subspan(part);
            }
            return true;
          }};
  return std::ranges::any_of(
      breakpoint.conditions, [&](const AgentExpression& condition) {
        const absl::StatusOr<uint64_t> value = condition.Evaluate(context);
        return !value.ok() || *value != 0;
      });
}

// The exception is the guest's own: its handler runs as if nobody looked.
bool VcpuDebug::GiveBack(const KvmVcpu& vcpu, const arch::DebugEvent& event) {
  context_.stats.guests_own.fetch_add(1, std::memory_order_relaxed);
  const bool stepped = step_ && context_.arch.caps().handler_at_once;
  // The handler must not see what the step changed.
  if (stepped) BreakOff(vcpu);
  const absl::Status status = context_.arch.Reinject(vcpu, event, armed_);
  if (!stepped || !status.ok()) return Try(vcpu, status);
  return AfterStep(vcpu, context_.arch.ProgramCounter(vcpu).value_or(0));
}

void VcpuDebug::Interrupt(const KvmVcpu& vcpu) {
  const uint64_t from = step_ ? step_->pc : 0;
  const bool undone = step_ && !stop_;
  BreakOff(vcpu);
  // Should it stand there still, it passes what it was about to pass.
  if (undone) told_at_ = from;
}

void VcpuDebug::BreakOff(const KvmVcpu& vcpu) {
  if (!step_) return;
  const absl::Status status =
      context_.arch.FinishStep(vcpu, context_.memory, *step_);
  LOG_IF(WARNING, !status.ok()) << "after a step: " << status.message();
  step_.reset();
}

absl::Status VcpuDebug::Disarm(const KvmVcpu& vcpu) {
  BreakOff(vcpu);
  stop_.reset();
  told_at_.reset();
  watched_at_.reset();
  over_ = false;
  if (!armed_.active()) return absl::OkStatus();
  return Arm(vcpu, {});
}

bool VcpuDebug::Stop(const KvmVcpu&, VcpuStop stop) {
  stop_ = stop;
  return false;
}

bool VcpuDebug::Try(const KvmVcpu& vcpu, const absl::Status& status) {
  if (status.ok()) return true;
  LOG(WARNING) << "debugger: " << status.message();
  return Stop(vcpu, {.reason = VcpuStop::Reason::kFailed});
}

}  // namespace kvmlet
