// SPDX-License-Identifier: Apache-2.0
// vCont, its ancestors c and s, and the threads that they are about.
#include "vmm/debug/gdb_session.h"

namespace kvmlet {
namespace {

// One "ACTION[:THREAD]" of vCont.
struct Part {
  VcpuAction action{};
  RspThread thread{};
  bool stop = false;  // "t"
};

std::optional<Part> TakePart(RspCursor& cursor) {
  Part part{.thread = {.kind = RspThread::Kind::kAll}};
  if (cursor.Skip('c')) {
    part.action.kind = VcpuAction::Kind::kContinue;
  } else if (cursor.Skip('s')) {
    part.action.kind = VcpuAction::Kind::kStep;
  } else if (cursor.Skip('C') || cursor.Skip('S')) {
    return std::nullopt;  // handled by the caller, they carry a signal
  } else if (cursor.Skip('t')) {
    part.stop = true;
  } else if (cursor.Skip('r')) {
    part.action.kind = VcpuAction::Kind::kRange;
    const std::optional<uint64_t> start = cursor.Hex();
    if (!start || !cursor.Skip(',')) return std::nullopt;
    const std::optional<uint64_t> end = cursor.Hex();
    if (!end) return std::nullopt;
    part.action.start = *start;
    part.action.end = *end;
  } else {
    return std::nullopt;
  }
  return part;
}

// The guest has no signals: C and S are c and s.
std::optional<Part> TakeAnyPart(RspCursor& cursor) {
  const std::string_view rest = cursor.rest();
  if (!rest.starts_with('C') && !rest.starts_with('S')) {
    return TakePart(cursor);
  }
  Part part{.thread = {.kind = RspThread::Kind::kAll}};
  part.action.kind = rest.front() == 'C' ? VcpuAction::Kind::kContinue
                                         : VcpuAction::Kind::kStep;
  (void)(cursor.Skip('C') || cursor.Skip('S'));
  if (!cursor.Hex()) return std::nullopt;
  return part;
}

}  // namespace

GdbSession::Reply GdbSession::ResumeWith(RspCursor cursor) {
  std::vector<VcpuAction> actions(debugger_.vcpu_count());
  std::vector<bool> decided(debugger_.vcpu_count());
  std::vector<bool> stops(debugger_.vcpu_count());
  if (cursor.AtEnd()) return "E22";
  while (!cursor.AtEnd()) {
    if (!cursor.Skip(';')) return "E22";
    std::optional<Part> part = TakeAnyPart(cursor);
    if (!part) return "E22";
    if (cursor.Skip(':')) {
      const std::optional<RspThread> thread = cursor.Thread();
      if (!thread) return "E22";
      part->thread = *thread;
    }
    // The leftmost action that names a thread is its.
    for (size_t i = 0; i < actions.size(); ++i) {
      if (decided[i] || !part->thread.Matches(i)) continue;
      decided[i] = true;
      stops[i] = part->stop;
      if (!part->stop) actions[i] = part->action;
    }
  }
  if (!debugger_.non_stop()) return Start(std::move(actions));
  for (size_t i = 0; i < actions.size(); ++i) {
    if (stops[i]) debugger_.HoldVcpu(i, DebugSignal::kNone);
    // What runs does so as before.
    const bool free = decided[i] && !stops[i] && KnownHeld(i);
    if (!free) actions[i] = debugger_.action(i);
  }
  threads_xml_.clear();
  debugger_.ResumeSome(actions);
  return "OK";
}

GdbSession::Reply GdbSession::ResumeLegacy(char action, RspCursor cursor) {
  if (debugger_.non_stop()) return Error("E22", "in non-stop: with vCont");
  if (action == 'C' || action == 'S') {
    if (!cursor.Hex()) return "E22";
    (void)cursor.Skip(';');
  }
  // An address to go on at is set with P by every client there is.
  if (!cursor.AtEnd()) return Error("E22", "set the program counter with P");
  const bool step = action == 's' || action == 'S';
  std::vector<VcpuAction> actions(
      debugger_.vcpu_count(), VcpuAction{.kind = VcpuAction::Kind::kContinue});
  const size_t stepped = resume_thread_.kind == RspThread::Kind::kOne
                             ? resume_thread_.vcpu
                             : vcpu_;
  if (step) actions[stepped].kind = VcpuAction::Kind::kStep;
  return Start(std::move(actions));
}

GdbSession::Reply GdbSession::Start(std::vector<VcpuAction> actions) {
  bool any = false;
  for (const VcpuAction& action : actions) {
    any = any || action.kind != VcpuAction::Kind::kStay;
  }
  // Nothing would ever stop.
  if (!any) return "N";
  threads_xml_.clear();
  debugger_.Resume(std::move(actions));
  return std::nullopt;
}

std::string GdbSession::SelectThread(RspCursor cursor) {
  const bool general = cursor.Skip('g');
  if (!general && !cursor.Skip('c')) return "E22";
  const std::optional<RspThread> thread = cursor.Thread();
  if (!thread || !cursor.AtEnd()) return "E22";
  const bool one = thread->kind == RspThread::Kind::kOne;
  if (one && thread->vcpu >= debugger_.vcpu_count()) {
    return Error("E22", "no such vCPU");
  }
  if (!general) {
    resume_thread_ = *thread;
  } else if (one) {
    vcpu_ = thread->vcpu;
  }
  return "OK";
}

std::string GdbSession::ThreadAlive(RspCursor cursor) {
  const std::optional<RspThread> thread = cursor.Thread();
  if (!thread || !cursor.AtEnd()) return "E22";
  if (thread->kind == RspThread::Kind::kOne &&
      thread->vcpu >= debugger_.vcpu_count()) {
    return "E22";
  }
  return "OK";
}

}  // namespace kvmlet
