// SPDX-License-Identifier: Apache-2.0
// QNonStop, vStopped and the notifications of stops: gdb's manual, "Remote
// Protocol Support for Non-Stop Mode".
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/debug/gdb_session.h"

namespace kvmlet {

std::string GdbSession::SetNonStop(RspCursor cursor) {
  const std::optional<uint64_t> on = cursor.Hex();
  if (!on || *on > 1 || !cursor.AtEnd()) return "E22";
  // What is told is void: the client asks for all of it next.
  events_.clear();
  if ((*on == 1) != debugger_.non_stop()) debugger_.SetNonStop(*on == 1);
  return "OK";
}

// Every vCPU that stands, one an answer.
std::string GdbSession::AllStops() {
  events_.clear();
  for (size_t i = 0; i < debugger_.vcpu_count(); ++i) {
    if (!debugger_.held(i)) continue;
    StopReport report{.signal = DebugSignal::kNone, .vcpu = i};
    if (debugger_.report().vcpu == i) report = debugger_.report();
    events_.push_back({.stop = StopReply(report), .vcpu = i});
  }
  return events_.empty() ? "OK" : events_.front().stop;
}

std::string GdbSession::NextStop() {
  if (!events_.empty()) events_.pop_front();
  return events_.empty() ? "OK" : events_.front().stop;
}

// One at a time; the client fetches those that come meanwhile.
void GdbSession::Notify(std::string stop, std::optional<size_t> vcpu) {
  events_.push_back({.stop = std::move(stop), .vcpu = vcpu});
  if (events_.size() != 1) return;
  std::string packet;
  AppendPacket(absl::StrCat("Stop:", events_.front().stop), packet);
  packet.front() = '%';
  send_(packet);
}

// To the client a vCPU runs until the client has confirmed its stop.
bool GdbSession::KnownHeld(size_t vcpu) const {
  return debugger_.held(vcpu) &&
         std::ranges::none_of(events_, [vcpu](const Event& event) {
           return event.vcpu == vcpu;
         });
}

}  // namespace kvmlet
