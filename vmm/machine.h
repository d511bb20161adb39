// SPDX-License-Identifier: Apache-2.0
// One virtual machine: owns its memory, buses, devices and vCPUs, in the order
// of their lives, and runs, pauses, resets and ends them. What the guest asks
// for arrives from any thread and is acted upon on the main loop.
//
// Threads: Create, Start and the MachineControl members on the main loop's
// thread; the GuestRequests and VcpuObserver members from any thread.
#ifndef KVMLET_VMM_MACHINE_H_
#define KVMLET_VMM_MACHINE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/arch.h"
#include "arch/core.h"
#include "devices/pci/pci_root.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/device.h"
#include "vmm/balloon_control.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/log_limiter.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/guest_requests.h"
#include "vmm/config.h"
#include "vmm/control/events.h"
#include "vmm/control/machine_control.h"
#include "vmm/control/qom.h"
#include "vmm/debug/debug_target.h"
#include "vmm/debug/debugger.h"
#include "vmm/event/event_loop.h"
#include "vmm/event/io_thread.h"
#include "vmm/exits/exit_trace.h"
#include "vmm/kvm/kvm_stats.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/gpa_allocator.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/memory_error.h"
#include "vmm/memory_devices.h"
#include "vmm/passthrough.h"
#include "vmm/symbols/symbol_file.h"
#include "vmm/vcpu.h"
#include "vmm/verdict.h"
#include "vmm/verdict_port.h"

namespace kvmlet {

// Who hears of the machine's end. Called on the main loop's thread; the vCPUs
// are paused by then and stay so.
class MachineListener {
 public:
  virtual ~MachineListener() = default;
  virtual void OnEnd(Verdict verdict) = 0;
  // The guest reset itself; the listener may end the machine here.
  virtual void OnReset() = 0;
  // A reset, whoever asked for it, is done: the guest begins anew.
  virtual void OnRestart() = 0;
};

// What is outside the machine and outlives it.
struct MachineContext {
  const VmConfig& config;
  EventLoop& loop;
  CharBackend& serial;
  CharBackend* console = nullptr;  // hvc0, when there is one
  Events& events;
  MachineListener& listener;
};

class Machine final : public GuestRequests,
                      public VcpuObserver,
                      public MachineControl,
                      private DebugTarget {
 public:
  static absl::StatusOr<std::unique_ptr<Machine>> Create(
      const MachineContext& context);
  ~Machine() override;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Enters the guest. Once.
  absl::Status Start();
  // Pauses every vCPU and lets devices finish what they were told; for the
  // end. Idempotent.
  void Halt();
  // Ends the machine from outside: a time-out, a signal. The first end counts.
  void EndWith(Verdict verdict, ShutdownCause cause);
  // The same because the guest took too long: held for the debugger first when
  // --on-hang says so.
  void EndHung(Verdict verdict, ShutdownCause cause);

  // GuestRequests.
  void PowerOff(Door door) override;
  void Reset(Door door) override;
  void Exit(Door door, uint64_t code, std::string text) override;
  void Panic(Door door, bool crash_loaded) override;
  void EjectPci(uint32_t slots) override;
  // VcpuObserver.
  void OnShutdown(uint32_t vcpu) override;
  void OnFailure(uint32_t vcpu, std::string why) override;
  bool OnMemoryFault(uint32_t vcpu) override;
  void OnLostMemory(uint32_t vcpu, const BusError& error) override;
  void OnLostMemory(uint32_t vcpu, Gpa at) override;
  bool OnDebugExit(uint32_t vcpu, const KvmVcpu& kvm) override;
  bool OnDebugAccess(uint32_t vcpu, const KvmVcpu& kvm) override;
  bool OnDebugCatch(uint32_t vcpu, const KvmVcpu& kvm) override;
  void OnDebugCaught(uint32_t vcpu, const KvmVcpu& kvm) override;
  void OnDebugStop(uint32_t vcpu) override;

  // It crashed or hung, and the debugger has it.
  bool held() const { return crash_.has_value(); }

  // Null without --gdb.
  Debugger* debugger() const { return debugger_.get(); }

  // MachineControl.
  RunState run_state() const override;
  absl::Status Pause() override;
  absl::Status Resume() override;
  absl::Status PowerButton() override;
  absl::Status SystemReset() override;
  void Quit() override;
  absl::Status ResizeDisk(std::string_view id) override;
  absl::Status PlugDevice(const PlugRequest& request) override;
  absl::Status UnplugDevice(std::string_view id, bool force) override;
  std::string vm_name() const override { return context_.config.name; }
  std::string arch_name() const override { return std::string(arch::Name()); }
  std::vector<VcpuInfo> vcpus() const override;
  std::vector<DeviceInfo> devices() const override { return device_infos_; }
  uint64_t memory_size() const override;
  MemoryControl& memory() override { return *memory_devices_; }
  absl::Status SetBalloon(uint64_t bytes) override;
  absl::StatusOr<uint64_t> BalloonSize() const override;
  // machine_report.cc: with who called whom.
  absl::StatusOr<std::string> RegistersText() override;
  absl::Status DumpGuest(const std::string& path, bool paging) override;
  absl::Status InjectMemoryError(uint64_t address, bool action_required,
                                 uint32_t vcpu) override;
  const QomObjects& objects() const override { return objects_; }
  absl::StatusOr<std::vector<StatsGroup>> Stats() override;

 private:
  explicit Machine(const MachineContext& context) : context_(context) {}

  absl::Status CreateCore();
  absl::Status CreatePci();
  absl::Status CreateVcpus();
  // machine_stats.cc: what the vCPUs count, and trace.
  absl::Status OpenExitTrace();
  std::vector<StatsGroup> CountedExits() const override;

  // machine_memory.cc: memory beside plain RAM.
  std::vector<NodeBinding> NodeBindings() const;
  absl::StatusOr<uint64_t> DeviceMemoryWanted() const;
  // A place in guest-physical memory above RAM, for good. `what` is the flag
  // to blame when there is none.
  absl::StatusOr<Gpa> PlaceDeviceMemory(std::string_view what, uint64_t size,
                                        uint64_t alignment);
  absl::Status MapPmem();

  // machine_faults.cc: memory that the host has lost.
  absl::Status WatchBusErrors();
  void TakeBusErrors();
  void TellLater(const RamRange& lost);
  void TellUntold();
  void ForgetLost();
  bool RememberLost(const RamRange& lost);
  // What a vCPU met, and the page of the host around it, if it is the guest's.
  struct LostMemory {
    std::optional<Gpa> at;
    RamRange all{};
  };
  void PostLostMemory(uint32_t vcpu, const LostMemory& lost);
  void HandleLostMemory(const LostMemory& met, uint32_t vcpu);
  arch::MemoryErrorResult TellGuest(const MemoryError& error, uint32_t vcpu);
  void ReportMemoryFailure(const RamRange& lost, bool action_required,
                           arch::MemoryErrorResult result);

  // machine_debug.cc: what the debugger needs.
  absl::Status CreateDebugger();
  size_t vcpu_count() const override { return vcpus_.size(); }
  const GuestMemory& memory() const override { return *memory_; }
  void StopForDebugger() override;
  void ResumeForDebugger(size_t vcpu) override;
  void RunOnVcpu(size_t vcpu,
                 const std::function<void(KvmVcpu&)>& function) override;
  void EndCrashed() override;
  absl::Status ResetFromDebugger() override;
  void QuitFromDebugger() override { Quit(); }
  absl::StatusOr<std::string> KernelOffsetText(size_t vcpu) override;
  void Post(std::function<void()> function) override;
  // The guest crashed: held for the debugger when there is one to look, or
  // at its end.
  void EndCrash(DebugSignal signal, uint32_t vcpu, Verdict verdict,
                ShutdownCause cause);

  // machine_dump.cc: the guest as a core file.
  absl::StatusOr<std::vector<arch::CoreNote>> ReadCoreNotes();
  absl::Status DumpPaused(const std::string& path, bool paging);

  // machine_devices.cc: one function a kind of device.
  absl::Status AttachDevices();
  absl::Status AttachRng();
  absl::Status AttachConsole();
  absl::Status AttachDisk(const DiskConfig& config);
  absl::Status AttachNet(const NetConfig& config);
  absl::Status AttachVsock(uint64_t cid);
  absl::Status PlaceMemoryDevices();
  absl::Status AttachVirtioMem(size_t index);
  absl::Status AttachPmem(const PmemConfig& config, const RamRegion& region);
  void AddPmemProperties(const PmemConfig& config, const RamRegion& region);
  absl::Status AttachBalloon(const BalloonConfig& config);
  absl::Status AttachVirtio(std::unique_ptr<virtio::VirtioDevice> device,
                            std::string id, std::string backend);

  // machine_hotplug.cc: devices that come and go.
  struct Removable {
    pci::PciAddress address{};
    std::optional<EventLoop::TimerId> deadline{};  // the host waits
    bool asked = false;                            // the guest was
  };
  absl::Status OpenPassthrough();
  absl::Status AttachVfio(const VfioConfig& config, uint32_t slots);
  bool CanAskFor(const Removable& removable) const;
  void AskForDevice(const std::string& id);
  void OnHostRequest(const std::string& id);
  void OnEjected(uint32_t slots);
  // Takes the device away now, with the guest's consent or without.
  void RemoveDevice(const std::string& id, bool ejected);
  // These two while no vCPU runs. What the guest was asked for goes with it.
  void TakeAway(const std::string& id, bool ejected);
  void FinishUnplugs();

  absl::StatusOr<EventLoop*> AddIoThread(std::string name);
  // The loop of the devices that need no thread of their own.
  absl::StatusOr<EventLoop*> SharedIoLoop();

  // Takes the first request that ends or resets; later ones are ignored.
  void Request(std::function<void()> action);
  // The vCPU that asks for something by an exit which the debugger caught.
  std::optional<size_t> CaughtHere() const;
  void GuestReset(Door door);
  void DoReset(ShutdownCause cause);
  absl::Status ResetGuest();
  void PauseVcpus();
  void ResumeVcpus();
  // No vCPU runs meanwhile; what stood still before does so afterwards.
  void WhilePaused(const std::function<void()>& function);
  // A console whose reader is slow must not hold up who waits for a vCPU.
  void HurryConsoles(bool on);
  // Opened when somebody asks for the first time: a start must not pay.
  void OpenStats();

  const MachineContext context_;
  RunState state_ = RunState::kPrelaunch;
  bool ended_ = false;
  // While set no vCPU enters the guest, see Vcpu::Context::hold.
  std::atomic<bool> hold_{false};
  // A request is on its way to the main loop.
  std::atomic<bool> requested_{false};
  // Counts resets, so that a request is known for an earlier guest's.
  std::atomic<uint64_t> boot_{0};
  // The notice of a panic with a crash kernel is on its way to the main loop.
  std::atomic<bool> crash_noticed_{false};

  std::optional<KvmSystem> system_;
  std::optional<arch::MemoryPlan> plan_;
  std::optional<GuestMemory> memory_;
  std::unique_ptr<KvmVm> vm_;
  Bus mmio_{"mmio"};
  Bus pio_{"pio"};
  std::unique_ptr<arch::Platform> platform_;
  std::vector<std::unique_ptr<IoThread>> io_threads_;
  EventLoop* shared_loop_ = nullptr;  // one of them
  std::unique_ptr<VerdictPort> verdict_port_;
  // Where memory devices lie in guest-physical space: what is left of it.
  std::optional<GpaAllocator> device_window_;
  std::unique_ptr<MemoryDevices> memory_devices_;
  std::unique_ptr<BalloonControl> balloon_;
  std::unique_ptr<Passthrough> passthrough_;  // null without --vfio
  std::unique_ptr<pci::PciRoot> pci_;
  std::vector<DeviceInfo> device_infos_;
  QomObjects objects_;
  std::map<std::string, virtio::BlkDevice*> disks_;  // owned by pci_
  std::map<std::string, Removable> removables_;      // by id
  // Slots whose devices went without the guest's word: it may believe in them
  // still, and what it then says of them would be meant for the old ones.
  uint32_t unsure_ = 0;
  // Slots that the guest has given up, on their way to the main loop.
  std::atomic<uint32_t> ejected_{0};
  // KVM's own counters: the VM's, then each vCPU's; empty before OpenStats and
  // where this KVM has none.
  std::vector<KvmStats> kvm_stats_;
  bool stats_opened_ = false;
  // Pages that the host has lost since the last reset.
  std::set<Gpa> lost_pages_;
  // What of it nobody met and the guest has not heard of yet.
  struct Untold {
    RamRange lost;
    bool reported = false;
  };
  std::deque<Untold> untold_;
  std::optional<EventLoop::TimerId> untold_timer_;
  // Since when vCPUs have met errors without the guest hearing of one.
  std::optional<std::chrono::steady_clock::time_point> late_since_;
  std::optional<std::chrono::steady_clock::time_point> untold_since_;
  std::optional<EventFd> bus_error_event_;
  LogLimiter memory_log_{"memory"};
  std::unique_ptr<Debugger> debugger_;
  std::optional<SymbolFile> symbols_;  // unset without --symbols
  // How it ends when the debugger lets go of a crashed guest.
  std::optional<std::pair<Verdict, ShutdownCause>> crash_;
  std::unique_ptr<ExitTrace> exit_trace_;     // null without --trace-exits
  std::vector<std::unique_ptr<Vcpu>> vcpus_;  // Last: joined first.
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MACHINE_H_
