// SPDX-License-Identifier: Apache-2.0
// The debugger's monitor, without its protocol: stops and resumes the world,
// holds the breakpoints, reads and writes memory and registers while nothing
// runs, and tells its one listener why the machine stopped.
//
// Threads: the main loop's thread; OnDebugExit, OnDebugAccess, OnDebugCatch,
// OnDebugCaught and OnDebugStop on the vCPU's.
// A client that asked for non-stop has each vCPU stop and go on for itself; the
// others stand still only while something of them is looked at or changed.
// Nothing of the guest changes while there is neither a listener nor a
// breakpoint.
#ifndef KVMLET_VMM_DEBUG_DEBUGGER_H_
#define KVMLET_VMM_DEBUG_DEBUGGER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/debug.h"
#include "vmm/debug/breakpoints.h"
#include "vmm/debug/debug_target.h"
#include "vmm/debug/exit_catches.h"
#include "vmm/debug/vcpu_debug.h"

namespace kvmlet {

// The protocol's numbers of signals, as far as they are used.
enum class DebugSignal {
  kNone = 0,  // the client wanted it so
  kInterrupt = 2,
  kTrap = 5,
  kPanic = 6,
  kTripleFault = 11,
  kHang = 14,
};

struct StopReport {
  DebugSignal signal = DebugSignal::kInterrupt;
  size_t vcpu = 0;
  // What was hit, if anything was.
  std::optional<BreakpointType> hit{};
  uint64_t data_address = 0;  // a watchpoint's
  std::string text{};         // a line for people about it
};

class DebugListener {
 public:
  virtual ~DebugListener() = default;
  virtual void OnStop(const StopReport& report) = 0;
  // The machine is over; `crashed` when that was not the guest's choice.
  virtual void OnGuestEnd(int exit_status, bool crashed) = 0;
};

class Debugger {
 public:
  // The target outlives it. With `stopped` the machine starts held.
  Debugger(DebugTarget& target, std::unique_ptr<arch::Debug> arch,
           bool stopped);

  // One listener at a time; the machine is stopped, silently, when it comes.
  void Attach(DebugListener& listener);
  // Breakpoints go, and the machine runs again unless `stay_stopped`.
  void Detach(bool stay_stopped);
  bool attached() const { return listener_ != nullptr; }

  bool stopped() const { return stopped_; }
  const StopReport& report() const { return report_; }
  // Stops the world and tells so; nothing when it stands already.
  void Interrupt();
  // One action a vCPU; at least one of them runs.
  void Resume(std::vector<VcpuAction> actions);

  // Non-stop. Turned on or off while all are stopped: the one of the last
  // report stays so, the others run when Release comes.
  bool non_stop() const { return non_stop_; }
  void SetNonStop(bool on);
  // Between the two nothing runs, which the client does not see, and what
  // follows may be called that is for a stopped machine.
  void Hold();
  void Release();
  // The client has it stopped, or never let it run.
  bool held(size_t vcpu) const {
    return vcpus_[vcpu]->action().kind == VcpuAction::Kind::kStay;
  }
  const VcpuAction& action(size_t vcpu) const { return vcpus_[vcpu]->action(); }
  // The same for all that are held and get another action than to stay so;
  // what runs has its own.
  void ResumeSome(const std::vector<VcpuAction>& actions);
  // One that runs stops for the client.
  void HoldVcpu(size_t vcpu, DebugSignal signal);

  // While stopped only:
  size_t vcpu_count() const { return vcpus_.size(); }
  void OnVcpu(size_t vcpu, const std::function<void(const KvmVcpu&)>& function);
  // The vCPU's address space, read once a stop.
  absl::StatusOr<const arch::AddressSpace*> Space(size_t vcpu);
  // Registers were written: what is remembered of them is void.
  void OnRegistersWritten(size_t vcpu);
  // The bytes from `address` on, up to the first that cannot be read.
  std::vector<std::byte> ReadMemory(size_t vcpu, uint64_t address,
                                    uint64_t length);
  // All or nothing.
  absl::Status WriteMemory(size_t vcpu, uint64_t address,
                           std::span<const std::byte> data);
  absl::Status InsertBreakpoint(size_t vcpu, const BreakpointKey& key,
                                std::vector<AgentExpression> conditions = {});
  Breakpoints& breakpoints() { return breakpoints_; }
  ExitCatches& catches() { return catches_; }
  // The line about the last exit that was caught, empty before.
  const std::string& last_caught() const { return last_caught_; }

  const arch::Debug& arch() const { return *arch_; }
  const DebugStats& stats() const { return stats_; }
  DebugTarget& target() { return target_; }
  // Addresses of memory accesses are guest-physical.
  bool physical() const { return physical_; }
  void set_physical(bool on) { physical_ = on; }
  bool step_interrupts() const { return step_interrupts_; }
  void set_step_interrupts(bool on);

  // From the machine. OnDebugExit is true when the vCPU is to enter the guest
  // again; otherwise OnDebugStop follows when it is held.
  bool OnDebugExit(size_t vcpu, const KvmVcpu& kvm);
  // The same, after a device answered the guest.
  bool OnDebugAccess(size_t vcpu, const KvmVcpu& kvm);
  // Before an exit is handled: true when somebody wants to know of it.
  // OnDebugCaught follows when it was, and then OnDebugStop.
  bool OnDebugCatch(size_t vcpu, const KvmVcpu& kvm);
  // Any thread: the client has not gone on from what the vCPU was caught at.
  bool caught(size_t vcpu) const { return vcpus_[vcpu]->caught(); }
  void OnDebugCaught(size_t vcpu, const KvmVcpu& kvm);
  void OnDebugStop(size_t vcpu);
  // What the vCPU asked for by an exit that was caught, to be reset or to end:
  // when true, it is asked for again when the client goes on from there.
  bool KeepRequest(size_t vcpu, std::function<void()> request);
  // The guest was reset, and no vCPU runs.
  void OnReset();
  // True when the machine is to stay as it is, for a client to look at.
  bool OnCrash(DebugSignal signal, size_t vcpu, bool wait_for_client);
  void OnEnd(int exit_status, bool crashed);

 private:
  // One breakpoint that is out of memory while one vCPU passes it.
  struct Lifted {
    size_t vcpu;
    Gpa at;
  };
  void Freeze();
  void HandleStop(size_t vcpu, uint64_t generation);
  void Tell(const StopReport& report);
  void TellStop(size_t vcpu, const VcpuStop& stop);
  bool IsPending(const VcpuStop& stop) const;
  bool TellPending();
  bool TellAnother();
  void AskAgain();
  void Relaunch(size_t vcpu);
  bool TakeActions(const std::vector<VcpuAction>& actions);
  void TellCrash(const StopReport& report);
  void TellAllStand(const StopReport& report);
  void StopAfterReset(size_t vcpu);
  void Start();
  bool StartLifted();
  void Launch(size_t vcpu);
  void ForgetSpaces();
  std::optional<arch::AddressSpace::Page> PageOf(size_t vcpu, uint64_t address);
  size_t SomeResumed() const;

  DebugTarget& target_;
  const std::unique_ptr<arch::Debug> arch_;
  Breakpoints breakpoints_;
  ExitCatches catches_;
  DebugStats stats_;
  std::vector<std::unique_ptr<VcpuDebug>> vcpus_;
  std::vector<std::unique_ptr<arch::AddressSpace>> spaces_;  // this stop's
  DebugListener* listener_ = nullptr;
  bool stopped_;
  bool non_stop_ = false;
  bool physical_ = false;
  bool step_interrupts_ = false;
  bool crashed_ = false;
  std::optional<StopReport> pending_crash_;
  uint64_t generation_ = 0;                      // of runs
  std::vector<std::function<void()>> requests_;  // kept, by vCPU
  std::string last_caught_;                      // as it was told
  StopReport report_;
  std::optional<Lifted> lifted_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_DEBUGGER_H_
