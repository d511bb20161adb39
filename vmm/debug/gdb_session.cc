// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/gdb_session.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvmlet {

GdbSession::GdbSession(Debugger& debugger, Send send)
    : debugger_(debugger), send_(std::move(send)) {
  debugger_.Attach(*this);
  vcpu_ = debugger_.report().vcpu;
}

void GdbSession::OnInput(std::string_view bytes) {
  reader_.Push(bytes);
  while (const std::optional<RspReader::Item> item = reader_.Next()) {
    switch (item->kind) {
      case RspReader::Kind::kPacket:
        OnPacket(item->payload);
        break;
      case RspReader::Kind::kInterrupt:
        debugger_.Interrupt();
        break;
      case RspReader::Kind::kAck:
        break;
      case RspReader::Kind::kNak:
        if (acks_ && !last_.empty()) send_(last_);
        break;
      case RspReader::Kind::kBadChecksum:
        if (acks_) send_("-");
        break;
      case RspReader::Kind::kTooLong:
        if (acks_) send_("+");
        SendPacket("E22");
        break;
    }
    if (wish_ != Wish::kNone) return;
  }
}

void GdbSession::OnPacket(std::string_view packet) {
  if (acks_) send_("+");
  if (packet == "vStopped" || ended_) {
    return SendPacket(packet == "vStopped" ? NextStop() : "E01");
  }
  if (debugger_.non_stop()) {
    debugger_.Hold();
    Answer(packet);
    if (wish_ == Wish::kNone && debugger_.non_stop()) debugger_.Release();
    return;
  }
  // The client has to wait for the stop; what it says before is not answered.
  if (debugger_.stopped()) Answer(packet);
}

void GdbSession::Answer(std::string_view packet) {
  const Reply reply = Handle(packet);
  if (reply) SendPacket(*reply);
  if (std::exchange(end_acks_, false)) acks_ = false;
}

void GdbSession::SendPacket(std::string_view payload) {
  last_.clear();
  AppendPacket(payload, last_);
  send_(last_);
  if (!acks_) last_.clear();
}

std::string GdbSession::Error(const char* code, std::string_view why) const {
  if (!error_messages_) return code;
  return absl::StrFormat("E.%s", why);
}

std::string GdbSession::ErrorOf(const absl::Status& status) const {
  return Error("E22", std::string(status.message()));
}

std::string GdbSession::ThreadId(size_t vcpu) const {
  if (!multiprocess_) return absl::StrFormat("%x", vcpu + 1);
  return absl::StrFormat("p1.%x", vcpu + 1);
}

GdbSession::Reply GdbSession::Handle(std::string_view packet) {
  if (packet.empty()) return "";
  const RspCursor rest(packet.substr(1));
  switch (packet.front()) {
    case '?':
      if (debugger_.non_stop()) return AllStops();
      return SelectStopped(debugger_.report());
    case '!':
      return "OK";
    case 'g':
      return ReadGeneral();
    case 'G':
      return WriteGeneral(rest);
    case 'p':
      return ReadRegister(rest);
    case 'P':
      return WriteRegister(rest);
    case 'm':
      return ReadMemory(rest, /*binary=*/false);
    case 'x':
      return ReadMemory(rest, /*binary=*/true);
    case 'M':
      return WriteMemory(rest, /*binary=*/false);
    case 'X':
      return WriteMemory(rest, /*binary=*/true);
    case 'Z':
      return ChangeBreakpoint(rest, /*insert=*/true);
    case 'z':
      return ChangeBreakpoint(rest, /*insert=*/false);
    case 'c':
    case 's':
    case 'C':
    case 'S':
      return ResumeLegacy(packet.front(), rest);
    case 'H':
      return SelectThread(rest);
    case 'T':
      return ThreadAlive(rest);
    default:
      return HandleNamed(packet);
  }
}

GdbSession::Reply GdbSession::HandleNamed(std::string_view packet) {
  RspCursor cursor(packet);
  if (cursor.Skip("vCont?")) return "vCont;c;C;s;S;r;t";
  if (cursor.Skip("vCont")) return ResumeWith(cursor);
  if (cursor.Skip("vKill") || packet == "k") {
    wish_ = Wish::kKill;
    if (packet == "k") return std::nullopt;
    return "OK";
  }
  if (cursor.Skip('D')) {
    wish_ = Wish::kDetach;
    return "OK";
  }
  if (packet == "vCtrlC") {
    debugger_.Interrupt();
    return "OK";
  }
  if (cursor.Skip("vAttach;")) {
    if (debugger_.non_stop()) return "OK";
    return SelectStopped(debugger_.report());
  }
  if (cursor.Skip("vRun") || cursor.Skip('R')) {
    if (debugger_.non_stop()) return Error("E22", "monitor reset does that");
    const absl::Status status = debugger_.target().ResetFromDebugger();
    if (!status.ok()) return ErrorOf(status);
    if (packet.front() == 'R') return std::nullopt;
    return SelectStopped(debugger_.report());
  }
  if (cursor.Skip('q')) return Query(cursor.rest());
  if (cursor.Skip('Q')) return Set(cursor.rest());
  return "";
}

// The client takes the vCPU for selected then.
std::string GdbSession::SelectStopped(const StopReport& report) {
  vcpu_ = report.vcpu;
  return StopReply(report);
}

std::string GdbSession::StopReply(const StopReport& report) {
  std::string reply = absl::StrFormat("T%02x", static_cast<int>(report.signal));
  absl::StrAppend(&reply, "thread:", ThreadId(report.vcpu), ";");
  if (report.hit) {
    switch (*report.hit) {
      case BreakpointType::kSoftware:
        absl::StrAppend(&reply, "swbreak:;");
        break;
      case BreakpointType::kHardware:
        absl::StrAppend(&reply, "hwbreak:;");
        break;
      case BreakpointType::kWrite:
        absl::StrAppendFormat(&reply, "watch:%x;", report.data_address);
        break;
      case BreakpointType::kRead:
        absl::StrAppendFormat(&reply, "rwatch:%x;", report.data_address);
        break;
      case BreakpointType::kAccess:
        absl::StrAppendFormat(&reply, "awatch:%x;", report.data_address);
        break;
    }
  }
  const arch::Debug& arch = debugger_.arch();
  debugger_.OnVcpu(report.vcpu, [&](const KvmVcpu& kvm) {
    for (const size_t number : arch.expedited()) {
      const auto value = arch.ReadRegister(kvm, number);
      if (!value.ok()) continue;
      absl::StrAppendFormat(&reply, "%x:", number);
      AppendHex(*value, reply);
      reply.push_back(';');
    }
  });
  return reply;
}

void GdbSession::OnStop(const StopReport& report) {
  if (debugger_.non_stop()) return Notify(StopReply(report), report.vcpu);
  if (!report.text.empty()) SendPacket(absl::StrCat("O", HexOf(report.text)));
  SendPacket(SelectStopped(report));
}

void GdbSession::OnGuestEnd(int exit_status, bool crashed) {
  const std::string end =
      crashed ? "X06" : absl::StrFormat("W%02x", exit_status & 0xff);
  ended_ = true;
  if (!debugger_.non_stop()) return SendPacket(end);
  Notify(absl::StrCat(end, multiprocess_ ? ";process:1" : ""), std::nullopt);
}

}  // namespace kvmlet
