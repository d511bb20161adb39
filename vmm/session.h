// SPDX-License-Identifier: Apache-2.0
// One run of `kvmlet run`: the machine, the terminal, the control sockets, the
// time limits and the user's signals, all on the main loop; its result is the
// verdict.
//
// Threads: the process's main thread; Create before any other thread exists.
#ifndef KVMLET_VMM_SESSION_H_
#define KVMLET_VMM_SESSION_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "devices/backend/char_stream.h"
#include "vmm/base/unique_fd.h"
#include "vmm/config.h"
#include "vmm/console_watch.h"
#include "vmm/control/event_stream.h"
#include "vmm/control/events.h"
#include "vmm/control/prompt.h"
#include "vmm/control/qmp_registry.h"
#include "vmm/control/qmp_server.h"
#include "vmm/debug/gdb_server.h"
#include "vmm/event/event_loop.h"
#include "vmm/machine.h"
#include "vmm/verdict.h"

namespace kvmlet {

class Session final : public MachineListener {
 public:
  // The configuration outlives the session.
  static absl::StatusOr<std::unique_ptr<Session>> Create(
      const VmConfig& config);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Verdict Run();

  void OnEnd(Verdict verdict) override;
  void OnReset() override;
  void OnRestart() override;

 private:
  explicit Session(const VmConfig& config) : config_(config) {}

  absl::Status OpenConsoles();
  void CloseConsoles();
  absl::Status OpenControl();
  absl::Status WatchSignals();
  absl::StatusOr<std::unique_ptr<CharStream>> OpenTerminal();
  absl::StatusOr<std::unique_ptr<CharStream>> OpenSerial();
  void OnSignal();
  void OnEscape(char key);
  void ArmTimeouts();
  void CheckIdle();
  // A test kernel that powers off has printed its status, if it has no exit
  // device.
  void ApplyQemuExitCode(Verdict& verdict) const;
  void TimeOut(VerdictReason reason, std::string text);

  const VmConfig& config_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd signals_;
  Events events_;
  QmpRegistry registry_;
  Prompt prompt_{registry_};
  std::unique_ptr<EventStream> event_stream_;
  std::unique_ptr<QmpServer> qmp_;
  std::unique_ptr<CharStream> serial_;
  std::unique_ptr<CharStream> terminal_;  // hvc0's, with --console
  std::optional<ConsoleWatch> serial_watch_;
  std::optional<ConsoleWatch> terminal_watch_;
  std::optional<Verdict> verdict_;
  std::unique_ptr<Machine> machine_;  // uses all of the above
  std::unique_ptr<GdbServer> gdb_;    // Last: uses the machine.
};

// Runs one guest to its end and returns the process's exit status.
int RunVm(const VmConfig& config);

}  // namespace kvmlet

#endif  // KVMLET_VMM_SESSION_H_
