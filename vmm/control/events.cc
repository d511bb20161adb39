// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/events.h"

#include <cstdint>
#include <utility>

namespace kvmlet {

Json Event::ToJson() const {
  const auto since_epoch =
      std::chrono::duration_cast<std::chrono::microseconds>(
          time.time_since_epoch());
  const int64_t microseconds = since_epoch.count();
  Json json = {{"event", name},
               {"timestamp",
                {{"seconds", microseconds / 1'000'000},
                 {"microseconds", microseconds % 1'000'000}}}};
  if (!data.empty()) json["data"] = data;
  return json;
}

std::string_view ShutdownCauseName(ShutdownCause cause) {
  switch (cause) {
    case ShutdownCause::kHostError:
      return "host-error";
    case ShutdownCause::kHostQuit:
      return "host-qmp-quit";
    case ShutdownCause::kHostReset:
      return "host-qmp-system-reset";
    case ShutdownCause::kHostSignal:
      return "host-signal";
    case ShutdownCause::kGuestShutdown:
      return "guest-shutdown";
    case ShutdownCause::kGuestReset:
      return "guest-reset";
    case ShutdownCause::kGuestPanic:
      return "guest-panic";
  }
  return "none";
}

bool CausedByGuest(ShutdownCause cause) {
  return cause == ShutdownCause::kGuestShutdown ||
         cause == ShutdownCause::kGuestReset ||
         cause == ShutdownCause::kGuestPanic;
}

void Events::AddSink(EventSink& sink) { sinks_.push_back(&sink); }

void Events::RemoveSink(EventSink& sink) { std::erase(sinks_, &sink); }

void Events::Emit(std::string name, Json data) {
  const Event event{.name = std::move(name),
                    .data = std::move(data),
                    .time = std::chrono::system_clock::now()};
  for (EventSink* sink : sinks_) sink->OnEvent(event);
}

void Events::Shutdown(ShutdownCause cause) {
  Emit("SHUTDOWN",
       {{"guest", CausedByGuest(cause)}, {"reason", ShutdownCauseName(cause)}});
}

void Events::Reset(ShutdownCause cause) {
  Emit("RESET",
       {{"guest", CausedByGuest(cause)}, {"reason", ShutdownCauseName(cause)}});
}

void Events::GuestPanicked(std::string_view action) {
  Emit("GUEST_PANICKED", {{"action", action}});
}

}  // namespace kvmlet
