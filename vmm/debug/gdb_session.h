// SPDX-License-Identifier: Apache-2.0
// One client's conversation in gdb's remote serial protocol: packets in,
// packets out, the debugger behind them. It knows nothing of sockets, so that
// tests and the fuzzer can speak to it directly.
//
// Threads: the main loop's. Every packet is hostile: it is parsed to its end
// before anything is done, and answered with an error or with nothing. gdb's
// manual, appendix "gdb Remote Serial Protocol".
#ifndef KVMLET_VMM_DEBUG_GDB_SESSION_H_
#define KVMLET_VMM_DEBUG_GDB_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/debug/debugger.h"
#include "vmm/debug/rsp_packet.h"
#include "vmm/debug/rsp_text.h"

namespace kvmlet {

class GdbSession final : public DebugListener {
 public:
  // What the client asked to be done with the connection.
  enum class Wish { kNone, kDetach, kKill };
  // Gets the bytes for the client, any time; never while it is not ready.
  using Send = std::function<void(std::string_view)>;

  // Attaches to the debugger, which outlives it.
  GdbSession(Debugger& debugger, Send send);
  GdbSession(const GdbSession&) = delete;
  GdbSession& operator=(const GdbSession&) = delete;

  void OnInput(std::string_view bytes);
  Wish wish() const { return wish_; }
  // The machine is over, and the client has not confirmed that it knows.
  bool tells_end() const { return ended_ && !events_.empty(); }

  // DebugListener.
  void OnStop(const StopReport& report) override;
  void OnGuestEnd(int exit_status, bool crashed) override;

 private:
  // The reply; nullopt when it comes later, with the next stop.
  using Reply = std::optional<std::string>;

  void OnPacket(std::string_view packet);
  void Answer(std::string_view packet);
  void SendPacket(std::string_view payload);
  Reply Handle(std::string_view packet);
  Reply HandleNamed(std::string_view packet);
  std::string StopReply(const StopReport& report);
  std::string SelectStopped(const StopReport& report);
  std::string ThreadId(size_t vcpu) const;
  // "E22", or with the reason for clients that read it.
  std::string Error(const char* code, std::string_view why) const;
  std::string ErrorOf(const absl::Status& status) const;

  // gdb_non_stop.cc
  std::string SetNonStop(RspCursor cursor);
  std::string AllStops();
  std::string NextStop();
  void Notify(std::string stop, std::optional<size_t> vcpu);
  bool KnownHeld(size_t vcpu) const;
  // gdb_registers.cc
  bool Runs() const;  // the selected vCPU, in non-stop
  std::string ReadGeneral();
  std::string WriteGeneral(RspCursor cursor);
  std::string ReadRegister(RspCursor cursor);
  std::string WriteRegister(RspCursor cursor);
  // gdb_memory.cc
  std::string ReadMemory(RspCursor cursor, bool binary);
  std::string WriteMemory(RspCursor cursor, bool binary);
  std::string ChangeBreakpoint(RspCursor cursor, bool insert);
  std::string SearchMemory(RspCursor cursor);
  // gdb_resume.cc
  Reply ResumeWith(RspCursor cursor);
  Reply ResumeLegacy(char action, RspCursor cursor);
  Reply Start(std::vector<VcpuAction> actions);
  std::string SelectThread(RspCursor cursor);
  std::string ThreadAlive(RspCursor cursor);
  // gdb_query.cc
  Reply Query(std::string_view packet);
  Reply Set(std::string_view packet);
  std::string Supported(RspCursor cursor);
  std::string Transfer(RspCursor cursor);
  std::string ThreadsXml();
  std::string ThreadList() const;
  std::string ThreadInfo(RspCursor cursor);
  std::string QemuQuery(RspCursor cursor);
  std::string QemuSet(RspCursor cursor);
  Reply MonitorCommand(RspCursor cursor);

  Debugger& debugger_;
  const Send send_;
  RspReader reader_;
  std::string last_;  // for a client that did not get it
  bool acks_ = true;
  bool end_acks_ = false;  // after the reply that is being made
  bool multiprocess_ = false;
  bool error_messages_ = false;
  Wish wish_ = Wish::kNone;
  bool ended_ = false;
  size_t vcpu_ = 0;            // of g, m and their like
  RspThread resume_thread_{};  // of c and s
  std::string threads_xml_;    // while it is being transferred

  // Non-stop: what the client has not confirmed; it was sent the first.
  struct Event {
    std::string stop;
    std::optional<size_t> vcpu;
  };
  std::deque<Event> events_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_GDB_SESSION_H_
