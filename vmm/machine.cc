// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/memory/bus_errors.h"

namespace kvmlet {

absl::StatusOr<std::unique_ptr<Machine>> Machine::Create(
    const MachineContext& context) {
  auto machine = std::unique_ptr<Machine>(new Machine(context));
  if (!context.config.symbols_path.empty()) {
    KVMLET_ASSIGN_OR_RETURN(
        machine->symbols_,
        SymbolFile::Open(context.config.symbols_path, arch::CoreMachine()));
  }
  KVMLET_RETURN_IF_ERROR(machine->CreateCore());
  KVMLET_RETURN_IF_ERROR(machine->CreatePci());
  KVMLET_RETURN_IF_ERROR(machine->AttachDevices());
  KVMLET_RETURN_IF_ERROR(machine->CreateVcpus());
  KVMLET_RETURN_IF_ERROR(machine->CreateDebugger());
  machine->mmio_.Seal();
  machine->pio_.Seal();
  return machine;
}

absl::Status Machine::CreateCore() {
  KVMLET_ASSIGN_OR_RETURN(system_, KvmSystem::Open());
  KVMLET_RETURN_IF_ERROR(arch::CheckHost(*system_));
  if (context_.config.cpus.count > system_->max_vcpus()) {
    return HostLacks(absl::StrCat("--cpus: this host's KVM allows ",
                                  system_->max_vcpus(), " vCPUs"));
  }
  KVMLET_ASSIGN_OR_RETURN(const uint64_t devices, DeviceMemoryWanted());
  KVMLET_ASSIGN_OR_RETURN(plan_,
                          arch::PlanMemory(*system_, context_.config, devices));
  KVMLET_ASSIGN_OR_RETURN(
      memory_, GuestMemory::Create(plan_->ram, context_.config.memory.backing,
                                   NodeBindings()));
  KVMLET_RETURN_IF_ERROR(PlaceMemoryDevices());
  KVMLET_ASSIGN_OR_RETURN(
      vm_, KvmVm::Create(*system_, arch::VmType(*system_, *plan_)));
  KVMLET_RETURN_IF_ERROR(vm_->MapMemory(*memory_));
  KVMLET_RETURN_IF_ERROR(MapPmem());
  KVMLET_ASSIGN_OR_RETURN(platform_,
                          arch::CreatePlatform({.config = context_.config,
                                                .system = *system_,
                                                .vm = *vm_,
                                                .memory = *memory_,
                                                .plan = *plan_,
                                                .mmio = mmio_,
                                                .pio = pio_,
                                                .requests = *this,
                                                .serial = context_.serial}));
  return absl::OkStatus();
}

absl::Status Machine::CreatePci() {
  const pci::PciWindows windows{
      .ecam = plan_->ecam, .mmio32 = plan_->mmio32, .mmio64 = plan_->mmio64};
  KVMLET_ASSIGN_OR_RETURN(
      pci_, pci::PciRoot::Create(windows, platform_->interrupts(), *vm_,
                                 [this](uint32_t slot, uint32_t pin) {
                                   return platform_->PciInterrupt(slot, pin);
                                 }));
  KVMLET_RETURN_IF_ERROR(pci_->AddTo(mmio_));
  return platform_->AttachPci(*pci_);
}

absl::Status Machine::CreateVcpus() {
  KVMLET_RETURN_IF_ERROR(OpenExitTrace());
  Vcpu::Context context{.mmio = mmio_,
                        .pio = pio_,
                        .platform = *platform_,
                        .observer = *this,
                        .hold = hold_,
                        .debugger = context_.config.gdb.has_value()};
  for (uint32_t i = 0; i < context_.config.cpus.count; ++i) {
    KVMLET_ASSIGN_OR_RETURN(
        std::unique_ptr<KvmVcpu> kvm,
        vm_->CreateVcpu(arch::VcpuId(context_.config.cpus, i)));
    KVMLET_RETURN_IF_ERROR(platform_->SetUpVcpu(*kvm, i));
    if (exit_trace_) context.trace = &exit_trace_->recorder(i);
    vcpus_.push_back(std::make_unique<Vcpu>(std::move(kvm), i, context));
  }
  KVMLET_RETURN_IF_ERROR(platform_->FinishVcpus());
  // A kernel is loaded into clean memory; a file may hold an earlier guest.
  if (memory_->fd() >= 0) KVMLET_RETURN_IF_ERROR(memory_->Discard());
  for (const auto& device : memory_->devices()) {
    KVMLET_RETURN_IF_ERROR(device->Clear());
  }
  KVMLET_RETURN_IF_ERROR(platform_->LoadGuest());
  // From here on no page may be given back.
  if (passthrough_) KVMLET_RETURN_IF_ERROR(passthrough_->MapMemory());
  // No thread runs yet, so this one may set the vCPUs' state.
  for (const auto& vcpu : vcpus_) {
    KVMLET_RETURN_IF_ERROR(
        platform_->ResetVcpu(vcpu->kvm(), vcpu->index(), /*first=*/true));
  }
  return absl::OkStatus();
}

Machine::~Machine() {
  Halt();
  for (const auto& [id, removable] : removables_) {
    if (removable.deadline) context_.loop.Cancel(*removable.deadline);
  }
  ForgetLost();
  vcpus_.clear();
  if (memory_) {
    for (const auto& device : memory_->devices()) device->Hurry(true);
  }
  // Devices wait for their I/O in their destructors; the threads that do it
  // end first, and the rest then runs here.
  for (const auto& thread : io_threads_) thread->Stop();
  if (!bus_error_event_) return;
  BusErrors::Uninstall();
  context_.loop.Remove(bus_error_event_->get());
}

absl::Status Machine::Start() {
  Vcpu::InstallKickSignal();
  KVMLET_RETURN_IF_ERROR(WatchBusErrors());
  for (const auto& thread : io_threads_) thread->Enable();
  for (const auto& vcpu : vcpus_) vcpu->Start();
  if (debugger_ != nullptr && debugger_->stopped()) StopForDebugger();
  ResumeVcpus();
  state_ = RunState::kRunning;
  return absl::OkStatus();
}

void Machine::HurryConsoles(bool on) {
  context_.serial.Hurry(on);
  if (context_.console != nullptr) context_.console->Hurry(on);
}

void Machine::PauseVcpus() {
  HurryConsoles(true);
  for (const auto& vcpu : vcpus_) vcpu->RequestPause();
  for (const auto& vcpu : vcpus_) vcpu->WaitPaused();
}

void Machine::ResumeVcpus() {
  HurryConsoles(false);
  hold_ = false;
  late_since_.reset();
  for (const auto& vcpu : vcpus_) vcpu->Resume();
}

void Machine::WhilePaused(const std::function<void()>& function) {
  PauseVcpus();
  function();
  // A request of the guest that waits on the main loop keeps its hold.
  const bool runs = state_ == RunState::kRunning && !ended_ && !held();
  if (runs && !requested_.load()) ResumeVcpus();
}

void Machine::Halt() {
  if (state_ == RunState::kPrelaunch) return;
  PauseVcpus();
  // A notification that is under way reaches its device within one turn of
  // the device's loop: what the guest said last is not lost.
  for (const auto& thread : io_threads_) {
    for (int turn = 0; turn < 2; ++turn) {
      if (thread->running()) thread->loop().RunSync([] {});
    }
  }
}

// Requests of the guest. The vCPU that makes one stops at `hold_` as soon as
// it comes back from the device.

void Machine::Request(std::function<void()> action) {
  if (requested_.exchange(true)) return;
  hold_ = true;
  context_.loop.Post([this, boot = boot_.load(), caught = CaughtHere(),
                      action = std::move(action)] {
    // A reset came first: whoever asked is no more, and owns no flag.
    if (boot != boot_.load()) return;
    requested_ = false;
    if (ended_) return;
    const auto again = [this, boot, action] {
      if (boot == boot_.load()) Request(action);
    };
    if (caught && debugger_->KeepRequest(*caught, again)) {
      // The debugger has the vCPU; the others may run.
      hold_ = false;
      return;
    }
    action();
  });
}

void Machine::PowerOff(Door door) {
  Request([this, door] {
    EndWith({.reason = VerdictReason::kPowerOff, .door = door},
            ShutdownCause::kGuestShutdown);
  });
}

void Machine::Exit(Door door, uint64_t code, std::string text) {
  Request([this, door, code, text = std::move(text)] {
    EndWith({.reason = VerdictReason::kExit,
             .door = door,
             .code = code,
             .text = text},
            ShutdownCause::kGuestShutdown);
  });
}

void Machine::Panic(Door door, bool crash_loaded) {
  if (crash_loaded) {
    // The crash kernel takes over and must be let run.
    // Once at a time: a guest can say so faster than it can be told.
    if (crash_noticed_.exchange(true)) return;
    context_.loop.Post([this] {
      crash_noticed_ = false;
      if (!ended_) context_.events.GuestPanicked("run");
    });
    return;
  }
  Request([this, door] {
    state_ = RunState::kGuestPanicked;
    context_.events.GuestPanicked("poweroff");
    EndCrash(DebugSignal::kPanic, 0,
             {.reason = VerdictReason::kPanic, .door = door},
             ShutdownCause::kGuestPanic);
  });
}

void Machine::Reset(Door door) {
  Request([this, door] { GuestReset(door); });
}

void Machine::OnShutdown(uint32_t vcpu) {
  Request([this, vcpu] {
    EndCrash(DebugSignal::kTripleFault, vcpu,
             {.reason = VerdictReason::kTripleFault,
              .door = Door::kTripleFault,
              .text = absl::StrCat("vcpu ", vcpu, " shut down")},
             ShutdownCause::kGuestPanic);
  });
}

void Machine::OnFailure(uint32_t vcpu, std::string why) {
  Request([this, vcpu, why = std::move(why)] {
    EndCrash(DebugSignal::kTripleFault, vcpu,
             {.reason = VerdictReason::kKvmError,
              .text = absl::StrCat("vcpu ", vcpu, ": ", why)},
             ShutdownCause::kHostError);
  });
}

bool Machine::OnMemoryFault(uint32_t vcpu) {
  return passthrough_ != nullptr && passthrough_->OnMemoryFault(vcpu);
}

void Machine::EndWith(Verdict verdict, ShutdownCause cause) {
  if (std::exchange(ended_, true)) return;
  hold_ = true;
  Halt();
  if (state_ != RunState::kGuestPanicked) state_ = RunState::kShutdown;
  context_.events.Shutdown(cause);
  if (debugger_ != nullptr) {
    debugger_->OnEnd(verdict.ExitStatus(), cause == ShutdownCause::kGuestPanic);
  }
  context_.listener.OnEnd(std::move(verdict));
}

// MachineControl.

absl::Status Machine::Pause() {
  if (ended_) return absl::FailedPreconditionError("the machine has ended");
  if (state_ != RunState::kRunning) return absl::OkStatus();
  PauseVcpus();
  state_ = RunState::kPaused;
  context_.events.Stop();
  return absl::OkStatus();
}

absl::Status Machine::Resume() {
  if (ended_) return absl::FailedPreconditionError("the machine has ended");
  if (state_ != RunState::kPaused) return absl::OkStatus();
  state_ = RunState::kRunning;
  context_.events.Resume();
  // A request of the guest that waits on this loop keeps its hold.
  if (requested_.load()) return absl::OkStatus();
  ResumeVcpus();
  return absl::OkStatus();
}

absl::Status Machine::PowerButton() {
  if (ended_) return absl::FailedPreconditionError("the machine has ended");
  KVMLET_RETURN_IF_ERROR(platform_->PowerButton());
  context_.events.Powerdown();
  return absl::OkStatus();
}

absl::Status Machine::SystemReset() {
  if (ended_) return absl::FailedPreconditionError("the machine has ended");
  DoReset(ShutdownCause::kHostReset);
  return absl::OkStatus();
}

void Machine::Quit() {
  if (ended_) return;
  EndWith({.reason = VerdictReason::kQuit}, ShutdownCause::kHostQuit);
}

absl::Status Machine::ResizeDisk(std::string_view id) {
  const auto it = disks_.find(std::string(id));
  if (it == disks_.end()) {
    return absl::NotFoundError(
        absl::StrCat("there is no disk '", std::string(id), "'"));
  }
  return it->second->Resize();
}

std::vector<VcpuInfo> Machine::vcpus() const {
  std::vector<VcpuInfo> infos;
  for (const auto& vcpu : vcpus_) {
    const arch::VcpuTopology at =
        arch::TopologyOf(context_.config.cpus, vcpu->index());
    infos.push_back({.index = vcpu->index(),
                     .thread_id = vcpu->thread_id(),
                     .socket = at.socket,
                     .core = at.core,
                     .thread = at.thread,
                     .exits = vcpu->exits()});
  }
  return infos;
}

uint64_t Machine::memory_size() const { return memory_->size(); }

absl::Status Machine::SetBalloon(uint64_t bytes) {
  if (balloon_ != nullptr) return balloon_->SetSize(bytes);
  return absl::UnavailableError("No balloon device has been activated");
}

absl::StatusOr<uint64_t> Machine::BalloonSize() const {
  if (balloon_ != nullptr) return balloon_->size();
  return absl::UnavailableError("No balloon device has been activated");
}

}  // namespace kvmlet
