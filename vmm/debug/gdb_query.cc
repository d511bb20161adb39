// SPDX-License-Identifier: Apache-2.0
// The q and Q packets: what both sides can do, threads, target descriptions,
// QEMU's extensions that scripts rely on.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/debug/gdb_session.h"
#include "vmm/debug/monitor_commands.h"

namespace kvmlet {

GdbSession::Reply GdbSession::Query(std::string_view packet) {
  RspCursor cursor(packet);
  if (cursor.Skip("Supported")) return Supported(cursor);
  if (cursor.Skip("Xfer:")) return Transfer(cursor);
  if (packet == "C") return absl::StrCat("QC", ThreadId(vcpu_));
  if (cursor.Skip("Attached")) return "1";
  if (packet == "fThreadInfo") return ThreadList();
  if (packet == "sThreadInfo") return "l";
  if (cursor.Skip("ThreadExtraInfo,")) return ThreadInfo(cursor);
  if (cursor.Skip("Search:memory:")) return SearchMemory(cursor);
  if (cursor.Skip("Rcmd,")) return MonitorCommand(cursor);
  if (packet == "Symbol::") return "OK";
  if (cursor.Skip("qemu.")) return QemuQuery(cursor);
  return "";
}

GdbSession::Reply GdbSession::Set(std::string_view packet) {
  RspCursor cursor(packet);
  if (packet == "StartNoAckMode") {
    end_acks_ = true;
    return "OK";
  }
  if (cursor.Skip("NonStop:")) return SetNonStop(cursor);
  if (cursor.Skip("qemu.")) return QemuSet(cursor);
  return "";
}

std::string GdbSession::Supported(RspCursor cursor) {
  bool binary_upload = false;
  (void)cursor.Skip(':');
  while (!cursor.AtEnd()) {
    const std::string_view feature = cursor.Until(';');
    if (feature == "multiprocess+") multiprocess_ = true;
    if (feature == "error-message+") error_messages_ = true;
    if (feature == "binary-upload+") binary_upload = true;
  }
  std::string reply = absl::StrFormat("PacketSize=%x", RspReader::kMaxPayload);
  absl::StrAppend(&reply,
                  ";qXfer:features:read+;qXfer:threads:read+;QStartNoAckMode+;"
                  "swbreak+;hwbreak+;vContSupported+;no-resumed+;"
                  "ConditionalBreakpoints+;QNonStop+");
  if (multiprocess_) absl::StrAppend(&reply, ";multiprocess+");
  if (error_messages_) absl::StrAppend(&reply, ";error-message+");
  if (binary_upload) absl::StrAppend(&reply, ";binary-upload+");
  return reply;
}

// OBJECT:read:ANNEX:OFFSET,LENGTH
std::string GdbSession::Transfer(RspCursor cursor) {
  const std::string_view object = cursor.Until(':');
  if (!cursor.Skip("read:")) return "";
  const std::string_view annex = cursor.Until(':');
  const std::optional<uint64_t> offset = cursor.Hex();
  if (!offset || !cursor.Skip(',')) return "E22";
  const std::optional<uint64_t> length = cursor.Hex();
  if (!length || !cursor.AtEnd()) return "E22";
  std::string_view content;
  if (object == "features") {
    if (annex != "target.xml") return "E00";
    content = debugger_.arch().Description();
  } else if (object == "threads") {
    if (!annex.empty()) return "E00";
    if (*offset == 0) threads_xml_ = ThreadsXml();
    content = threads_xml_;
  } else {
    return "";
  }
  if (*offset > content.size()) return "E22";
  content.remove_prefix(*offset);
  const size_t room = std::min<uint64_t>(*length, RspReader::kMaxPayload - 1);
  const size_t part = BinaryPrefix(content.substr(0, room), room);
  std::string reply(1, part < content.size() ? 'm' : 'l');
  AppendBinary(content.substr(0, part), reply);
  return reply;
}

std::string GdbSession::ThreadsXml() {
  std::string xml = "<?xml version=\"1.0\"?>\n<threads>\n";
  for (size_t i = 0; i < debugger_.vcpu_count(); ++i) {
    std::string what;
    debugger_.OnVcpu(i, [&](const KvmVcpu& kvm) {
      what = debugger_.arch().DescribeVcpu(kvm);
    });
    absl::StrAppendFormat(
        &xml, "<thread id=\"%s\" core=\"%d\" name=\"vCPU %d\">%s</thread>\n",
        ThreadId(i), i, i, what);
  }
  return absl::StrCat(xml, "</threads>\n");
}

std::string GdbSession::ThreadList() const {
  std::string list = "m";
  for (size_t i = 0; i < debugger_.vcpu_count(); ++i) {
    absl::StrAppend(&list, i == 0 ? "" : ",", ThreadId(i));
  }
  return list;
}

std::string GdbSession::ThreadInfo(RspCursor cursor) {
  const std::optional<RspThread> thread = cursor.Thread();
  if (!thread || thread->kind != RspThread::Kind::kOne ||
      thread->vcpu >= debugger_.vcpu_count()) {
    return "E22";
  }
  std::string what;
  debugger_.OnVcpu(thread->vcpu, [&](const KvmVcpu& kvm) {
    what = debugger_.arch().DescribeVcpu(kvm);
  });
  return HexOf(absl::StrFormat("vCPU %d: %s", thread->vcpu, what));
}

// QEMU's, for the scripts that know them: docs/system/gdb.rst.
std::string GdbSession::QemuQuery(RspCursor cursor) {
  if (cursor.Skip("Supported")) return "sstepbits;sstep;PhyMemMode";
  if (cursor.Skip("PhyMemMode")) return debugger_.physical() ? "1" : "0";
  if (cursor.Skip("sstepbits")) return "ENABLE=1,NOIRQ=2";
  if (cursor.Skip("sstep")) return debugger_.step_interrupts() ? "0x1" : "0x3";
  return "";
}

std::string GdbSession::QemuSet(RspCursor cursor) {
  if (cursor.Skip("PhyMemMode:")) {
    const std::optional<uint64_t> on = cursor.Hex();
    if (!on || *on > 1) return "E22";
    debugger_.set_physical(*on == 1);
    return "OK";
  }
  if (cursor.Skip("sstep=")) {
    const std::optional<uint64_t> bits = cursor.Hex();
    if (!bits || (*bits != 1 && *bits != 3)) return "E22";
    debugger_.set_step_interrupts(*bits == 1);
    return "OK";
  }
  return "";
}

GdbSession::Reply GdbSession::MonitorCommand(RspCursor cursor) {
  const auto bytes = cursor.HexBytes();
  if (!bytes) return "E22";
  std::string line;
  for (const std::byte byte : *bytes) line.push_back(static_cast<char>(byte));
  const MonitorResult result = RunMonitorCommand(line, debugger_, vcpu_);
  if (result.quit) wish_ = Wish::kKill;
  constexpr size_t kPart = (RspReader::kMaxPayload - 1) / 2;
  for (size_t at = 0; at < result.text.size(); at += kPart) {
    SendPacket(absl::StrCat(
        "O", HexOf(std::string_view(result.text).substr(at, kPart))));
  }
  return result.ok ? "OK" : "E01";
}

}  // namespace kvmlet
