// SPDX-License-Identifier: Apache-2.0
// One virtual CPU: a thread that enters the guest, hands every exit to the bus
// or to the ISA's platform, and stops at a safe point when it is asked to.
// This is where a guest exit starts its way: exit -> bus -> device -> queue ->
// host resource.
//
// Threads: Start, Pause, Resume, RunOnThread, RunOutside and the
// destructor from the machine's thread; Kick from any thread.
#ifndef KVMLET_VMM_VCPU_H_
#define KVMLET_VMM_VCPU_H_

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "arch/arch.h"
#include "vmm/bus/bus.h"
#include "vmm/exits/exit_trace.h"
#include "vmm/kvm/exit_reasons.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/memory_error.h"

namespace kvmlet {

// Who hears that a vCPU cannot go on. Called on the vCPU's thread; the vCPU
// waits afterwards until it is told to go on or to stop.
class VcpuObserver {
 public:
  virtual ~VcpuObserver() = default;
  virtual void OnShutdown(uint32_t vcpu) = 0;
  virtual void OnFailure(uint32_t vcpu, std::string why) = 0;
  // The guest touched memory that the host could not reach (EFAULT). True when
  // something changed, and the vCPU may try again.
  virtual bool OnMemoryFault(uint32_t /*vcpu*/) { return false; }
  // The guest met memory that the host has lost. The vCPU is paused for it
  // until somebody lets it go on.
  virtual void OnLostMemory(uint32_t /*vcpu*/, const BusError& /*error*/) {}
  // The same, in the guest's addresses.
  virtual void OnLostMemory(uint32_t /*vcpu*/, Gpa /*at*/) {}
  // The vCPU left the guest for the debugger. True when it is to go on;
  // otherwise it is paused for the debugger, and OnDebugStop follows.
  virtual bool OnDebugExit(uint32_t vcpu, const KvmVcpu& kvm);
  virtual void OnDebugStop(uint32_t /*vcpu*/) {}
  // A device answered the guest; asked in a machine with a debugger. The same.
  virtual bool OnDebugAccess(uint32_t vcpu, const KvmVcpu& kvm);
  // Before an exit is handled; asked in a machine with a debugger. When true,
  // OnDebugCaught follows when it was, the vCPU is paused for the debugger, and
  // OnDebugStop follows.
  virtual bool OnDebugCatch(uint32_t vcpu, const KvmVcpu& kvm);
  virtual void OnDebugCaught(uint32_t vcpu, const KvmVcpu& kvm);
};

// Who keeps a vCPU out of the guest; it runs when nobody does.
enum class PausedBy : unsigned { kMachine = 1, kDebugger = 2, kLostMemory = 4 };

class Vcpu {
 public:
  struct Context {
    const Bus& mmio;
    const Bus& pio;
    arch::Platform& platform;
    VcpuObserver& observer;
    // While true no vCPU enters the guest: the machine is ending or being
    // reset, and the vCPU that asked for it must not run on.
    const std::atomic<bool>& hold;
    bool debugger = false;  // the machine has one
    // Null: exits are counted, not traced.
    ExitRecorder* trace = nullptr;
  };

  Vcpu(std::unique_ptr<KvmVcpu> kvm, uint32_t index, Context context);
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  // Starts the thread, paused. Idempotent kicks use the signal that
  // InstallKickSignal set up.
  void Start();
  static void InstallKickSignal();

  // RequestPause asks, WaitPaused waits until the guest is not entered.
  void RequestPause(PausedBy who = PausedBy::kMachine);
  void WaitPaused();
  void Resume(PausedBy who = PausedBy::kMachine);
  // Looks at `hold` again, soon.
  void Kick();
  // Runs the function on the vCPU's thread, outside the guest, and waits.
  // Works while paused and while running.
  void RunOnThread(const std::function<void(KvmVcpu&)>& function);
  // The same for what may run on any thread and does not enter the guest: while
  // the vCPU waits that is this one, which saves two changes of threads. The
  // function must not call this object.
  void RunOutside(const std::function<void(KvmVcpu&)>& function);

  uint32_t index() const { return index_; }
  // On the vCPU's thread, or before Start.
  KvmVcpu& kvm() { return *kvm_; }
  int thread_id() const { return tid_.load(); }
  bool OnOwnThread() const {
    return thread_.get_id() == std::this_thread::get_id();
  }
  uint64_t exits() const;
  uint64_t exits(size_t reason) const { return exits_[reason].load(); }

 private:
  void Loop();
  // At the safe point: runs commands and waits while paused or held. False
  // when the thread shall end.
  bool Attend();
  void RequestAttention();
  bool Idle() const;
  void HandleExit();
  void Answer(uint32_t reason);
  void Dispatch(uint32_t reason);
  void HandleDebug();
  void HandleLostMemory();
  void PauseForLostMemory();
  void StopForDebugger();
  void HandleMmio();
  void HandlePio();
  void FinishAccess();
  void Fail(std::string why);

  const std::unique_ptr<KvmVcpu> kvm_;
  const uint32_t index_;
  const Context context_;
  std::array<std::atomic<uint64_t>, kExitReasons> exits_{};
  std::atomic<int> tid_{0};
  std::atomic<bool> attention_{true};
  bool access_pending_ = false;  // the vCPU thread's own, as is the next
  bool caught_ = false;          // the exit that is being handled
  // What the guest met in the last run; the vCPU thread's own.
  std::optional<BusError> lost_memory_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;  // guarded by mutex_
  // Of PausedBy; guarded by mutex_.
  unsigned pause_ = static_cast<unsigned>(PausedBy::kMachine);
  bool parked_ = false;  // guarded by mutex_: outside the guest, waiting
  bool broken_ = false;  // guarded by mutex_: cannot enter the guest again
  const std::function<void(KvmVcpu&)>* command_ = nullptr;  // guarded by mutex_
  std::thread thread_;  // Last: joined before the members it uses die.
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_VCPU_H_
