// SPDX-License-Identifier: Apache-2.0
#include "vmm/vcpu.h"

#include <glog/logging.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/kvm/memory_exits.h"
#include "vmm/memory/bus_errors.h"

namespace kvmlet {
namespace {

// Interrupts KVM_RUN and blocking system calls; the handler does nothing.
int KickSignal() { return SIGRTMIN; }

}  // namespace

bool VcpuObserver::OnDebugExit(uint32_t, const KvmVcpu&) { return true; }
bool VcpuObserver::OnDebugAccess(uint32_t, const KvmVcpu&) { return true; }
bool VcpuObserver::OnDebugCatch(uint32_t, const KvmVcpu&) { return false; }
void VcpuObserver::OnDebugCaught(uint32_t, const KvmVcpu&) {}

Vcpu::Vcpu(std::unique_ptr<KvmVcpu> kvm, uint32_t index, Context context)
    : kvm_(std::move(kvm)), index_(index), context_(context) {}

Vcpu::~Vcpu() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  RequestAttention();
  thread_.join();
}

void Vcpu::InstallKickSignal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigemptyset(&action.sa_mask);
  PCHECK(::sigaction(KickSignal(), &action, nullptr) == 0);
}

void Vcpu::Start() {
  // A vCPU thread takes the kick and nothing else; the main thread handles
  // the user's signals.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  sigdelset(&blocked, KickSignal());
  sigdelset(&blocked, SIGBUS);  // memory that the host lost
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  thread_ = std::thread([this] { Loop(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Vcpu::RequestAttention() {
  attention_ = true;
  {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  kvm_->RequestExit();
  if (thread_.joinable()) {
    pthread_kill(thread_.native_handle(), KickSignal());
  }
}

void Vcpu::Kick() { RequestAttention(); }

void Vcpu::RequestPause(PausedBy who) {
  {
    const std::lock_guard lock(mutex_);
    pause_ |= static_cast<unsigned>(who);
    // It looks at this before it enters the guest.
    if (parked_) return;
  }
  RequestAttention();
}

void Vcpu::WaitPaused() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return parked_; });
}

void Vcpu::Resume(PausedBy who) {
  const std::lock_guard lock(mutex_);
  pause_ &= ~static_cast<unsigned>(who);
  if (who == PausedBy::kMachine) broken_ = false;
  changed_.notify_all();
}

void Vcpu::RunOnThread(const std::function<void(KvmVcpu&)>& function) {
  bool parked = false;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return command_ == nullptr; });
    command_ = &function;
    // Waiting outside the guest it needs no kick.
    if (parked_) changed_.notify_all();
    parked = parked_;
  }
  if (!parked) RequestAttention();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this, &function] { return command_ != &function; });
}

void Vcpu::RunOutside(const std::function<void(KvmVcpu&)>& function) {
  {
    const std::lock_guard lock(mutex_);
    // It cannot go on while this holds the lock.
    if (parked_) return function(*kvm_);
  }
  RunOnThread(function);
}

uint64_t Vcpu::exits() const {
  uint64_t total = 0;
  for (const auto& count : exits_) total += count.load();
  return total;
}

void Vcpu::Loop() {
  tid_ = static_cast<int>(::syscall(SYS_gettid));
  pthread_setname_np(pthread_self(), absl::StrCat("vcpu", index()).c_str());
  while (true) {
    // Cleared before the flags are looked at: a request that comes later sets
    // it again, and the next Run() returns at once.
    kvm_->ClearExitRequest();
    if (attention_.load() || context_.hold.load()) {
      if (!Attend()) return;
      if (context_.trace != nullptr) context_.trace->Enter();
      continue;
    }
    const int error = [this] {
      const GuestEntry entry(lost_memory_);
      return kvm_->Run();
    }();
    access_pending_ = error == 0;
    if (error != 0 && context_.trace != nullptr) context_.trace->Interrupted();
    if (lost_memory_) HandleLostMemory();
    if (error == 0) {
      HandleExit();
      continue;
    }
    if (const std::optional<Gpa> lost = LostMemoryOf(kvm_->run(), error)) {
      PauseForLostMemory();
      context_.observer.OnLostMemory(index(), *lost);
      continue;
    }
    if (error == EFAULT && context_.observer.OnMemoryFault(index())) {
      if (context_.trace != nullptr) context_.trace->Enter();
      continue;
    }
    if (error != EINTR && error != EAGAIN) {
      Fail(absl::StrCat("KVM_RUN: ", strerrordesc_np(error), " (",
                        strerrorname_np(error), ")"));
    }
  }
}

bool Vcpu::Idle() const {
  return pause_ != 0 || broken_ || context_.hold.load();
}

bool Vcpu::Attend() {
  FinishAccess();
  std::unique_lock lock(mutex_);
  attention_ = false;
  while (true) {
    if (stop_) return false;
    if (command_ != nullptr) {
      (*command_)(*kvm_);
      command_ = nullptr;
      changed_.notify_all();
      continue;
    }
    if (!Idle()) break;
    parked_ = true;
    changed_.notify_all();
    changed_.wait(lock);
  }
  // Whatever was asked before is served; a kick from now on sets it again.
  attention_ = false;
  parked_ = false;
  return true;
}

// After an access that left the guest KVM still has to put the result into
// the registers; it does so when the vCPU is entered again.
void Vcpu::FinishAccess() {
  while (access_pending_ && kvm_->CompletePendingAccess()) HandleExit();
  access_pending_ = false;
}

void Vcpu::HandleExit() {
  const uint32_t reason = kvm_->run().exit_reason;
  auto& count = exits_[std::min<size_t>(reason, kExitReasons - 1)];
  count.store(count.load(std::memory_order_relaxed) + 1,
              std::memory_order_relaxed);
  ExitRecorder* const trace = context_.trace;
  if (trace == nullptr) return Answer(reason);
  trace->Exit(kvm_->run());
  Answer(reason);
  trace->Handled();
}

void Vcpu::Answer(uint32_t reason) {
  caught_ = context_.debugger && context_.observer.OnDebugCatch(index(), *kvm_);
  Dispatch(reason);
  if (!std::exchange(caught_, false)) return;
  context_.observer.OnDebugCaught(index(), *kvm_);
  StopForDebugger();
}

void Vcpu::Dispatch(uint32_t reason) {
  switch (reason) {
    case KVM_EXIT_MMIO:
    case KVM_EXIT_IO:
      if (reason == KVM_EXIT_MMIO) {
        HandleMmio();
      } else {
        HandlePio();
      }
      if (!context_.debugger) return;
      if (context_.observer.OnDebugAccess(index(), *kvm_)) return;
      return StopForDebugger();
    case KVM_EXIT_INTR:
      return;
    default:
      break;
  }
  if (const std::optional<Gpa> lost = LostMemoryOf(kvm_->run(), 0)) {
    PauseForLostMemory();
    return context_.observer.OnLostMemory(index(), *lost);
  }
  switch (context_.platform.HandleExit(*kvm_)) {
    case arch::ExitResult::kResume:
    case arch::ExitResult::kHalt:
      return;
    case arch::ExitResult::kDebug:
      return HandleDebug();
    case arch::ExitResult::kShutdown: {
      context_.observer.OnShutdown(index());
      const std::lock_guard lock(mutex_);
      broken_ = true;
      attention_ = true;
      return;
    }
    case arch::ExitResult::kUnknown:
      return Fail(context_.platform.DescribeFailure(*kvm_));
  }
}

void Vcpu::HandleDebug() {
  if (!context_.observer.OnDebugExit(index(), *kvm_)) StopForDebugger();
}

void Vcpu::StopForDebugger() {
  // Once an exit, when all is known of it.
  if (caught_) return;
  {
    const std::lock_guard lock(mutex_);
    pause_ |= static_cast<unsigned>(PausedBy::kDebugger);
    attention_ = true;
  }
  context_.observer.OnDebugStop(index());
}

void Vcpu::HandleLostMemory() {
  const BusError error = *std::exchange(lost_memory_, std::nullopt);
  PauseForLostMemory();
  context_.observer.OnLostMemory(index(), error);
}

void Vcpu::PauseForLostMemory() {
  const std::lock_guard lock(mutex_);
  pause_ |= static_cast<unsigned>(PausedBy::kLostMemory);
  attention_ = true;
}

void Vcpu::HandleMmio() {
  auto& mmio = kvm_->run().mmio;
  const auto data = std::as_writable_bytes(std::span(mmio.data))
                        .first(std::min<uint32_t>(mmio.len, 8));
  if (mmio.is_write != 0) {
    context_.mmio.Write(mmio.phys_addr, data);
  } else {
    context_.mmio.Read(mmio.phys_addr, data);
  }
}

void Vcpu::HandlePio() {
  const auto& io = kvm_->run().io;
  const std::span<std::byte> data =
      kvm_->RunPage(io.data_offset, static_cast<uint64_t>(io.size) * io.count);
  const size_t width = std::max<size_t>(io.size, 1);
  for (size_t at = 0; at + width <= data.size(); at += width) {
    const auto item = data.subspan(at, width);
    if (io.direction == KVM_EXIT_IO_OUT) {
      context_.pio.Write(io.port, item);
    } else {
      context_.pio.Read(io.port, item);
    }
  }
}

void Vcpu::Fail(std::string why) {
  context_.observer.OnFailure(index(), std::move(why));
  const std::lock_guard lock(mutex_);
  broken_ = true;
  attention_ = true;
}

}  // namespace kvmlet
