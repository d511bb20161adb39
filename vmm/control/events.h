// SPDX-License-Identifier: Apache-2.0
// What happened to the machine, told to whoever listens: QMP clients and the
// --events stream get the same events, under QEMU's names, through one fan-out.
//
// Threads: the main loop's thread only. A sink is removed before it dies and
// neither adds nor removes sinks from inside OnEvent. QMP specification,
// "Asynchronous events"; QEMU's qapi/run-state.json.
#ifndef KVMLET_VMM_CONTROL_EVENTS_H_
#define KVMLET_VMM_CONTROL_EVENTS_H_

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/control/json.h"

namespace kvmlet {

struct Event {
  std::string name;
  Json data = Json::object();  // an object; left out of the text when empty
  std::chrono::system_clock::time_point time;

  Json ToJson() const;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void OnEvent(const Event& event) = 0;
};

// QEMU's ShutdownCause, as far as kvmlet has it.
enum class ShutdownCause {
  kHostError,      // "host-error"
  kHostQuit,       // "host-qmp-quit"
  kHostReset,      // "host-qmp-system-reset"
  kHostSignal,     // "host-signal"
  kGuestShutdown,  // "guest-shutdown"
  kGuestReset,     // "guest-reset"
  kGuestPanic,     // "guest-panic"
};
std::string_view ShutdownCauseName(ShutdownCause cause);
bool CausedByGuest(ShutdownCause cause);

class Events {
 public:
  Events() = default;
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  void AddSink(EventSink& sink);
  void RemoveSink(EventSink& sink);

  void Emit(std::string name, Json data = Json::object());

  // QEMU's events, with the data QEMU gives them.
  void Shutdown(ShutdownCause cause);
  void Reset(ShutdownCause cause);
  void Stop() { Emit("STOP"); }
  void Resume() { Emit("RESUME"); }
  void Powerdown() { Emit("POWERDOWN"); }
  // `action` is "pause", "poweroff" or "run", as QEMU names it.
  void GuestPanicked(std::string_view action);

 private:
  std::vector<EventSink*> sinks_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_EVENTS_H_
