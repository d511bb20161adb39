// SPDX-License-Identifier: Apache-2.0
// Memory that the host has lost, from the thread that met it to the guest. The
// policy is in vmm/memory/README.md.
#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/status_macros.h"
#include "vmm/machine.h"
#include "vmm/memory/bus_errors.h"

namespace kvmlet {
namespace {

using arch::MemoryErrorResult;

using Clock = std::chrono::steady_clock;

constexpr uint64_t kPage = 4096;
// For vCPUs that are at the end of an earlier machine check.
constexpr std::chrono::milliseconds kPatience{200};
// Between two questions whether the guest can hear of an error by now.
constexpr std::chrono::milliseconds kUntoldPause{20};
// A guest is told of so much around one error: a larger page of the host has
// more pages than a guest hears of in a useful time.
constexpr uint64_t kMostTold = 2ull << 20;
// A guest that has not finished with an earlier error for so long, while vCPUs
// meet others, never will.
constexpr std::chrono::seconds kLongestLater{5};

// Starts the clock when it does not run.
bool IsOver(std::optional<Clock::time_point>& since) {
  const auto now = Clock::now();
  if (!since) since = now;
  return now - *since > kLongestLater;
}

// The unit in which the host has what lies at an address, and loses it.
uint64_t PageSizeAt(const GuestMemory& memory, const std::byte* host) {
  const iovec at{const_cast<std::byte*>(host), 1};
  for (const auto& device : memory.devices()) {
    if (device->Maps(at)) return BackingPageSize(device->backing().kind);
  }
  for (const auto& file : memory.files()) {
    if (file->Maps(at)) return kPage;
  }
  return memory.page_size();
}

// What is lost with the page that the error names. KVM on x86 calls a huge
// page that a vCPU met a small one.
RamRange LostWith(const GuestMemory& memory, const BusError& error, Gpa at) {
  const uint64_t size = std::clamp(
      std::max(error.size, PageSizeAt(memory, error.at)), kPage, kMostTold);
  const RamRange all{Gpa{at.value / size * size}, size};
  if (memory.Contains(all.base, all.size)) return all;
  return {Gpa{at.value / kPage * kPage}, kPage};
}

}  // namespace

absl::Status Machine::WatchBusErrors() {
  KVMLET_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  KVMLET_RETURN_IF_ERROR(BusErrors::Install(event.get()));
  bus_error_event_ = std::move(event);
  return context_.loop.Add(bus_error_event_->get(), EPOLLIN,
                           [this](uint32_t) { TakeBusErrors(); });
}

void Machine::TakeBusErrors() {
  bus_error_event_->Consume();
  while (const std::optional<BusError> error = BusErrors::Take()) {
    if (ended_) continue;
    const std::optional<Gpa> at = memory_->Find(error->at);
    if (!at) {
      memory_log_.Warn("the host has lost a page of kvmlet's own, unused yet");
      continue;
    }
    TellLater(LostWith(*memory_, *error, *at));
  }
}

// A page is told of once; who meets it hears of it again.
void Machine::TellLater(const RamRange& lost) {
  if (lost.size == 0 || !RememberLost(lost)) return;
  untold_.push_back({.lost = lost});
  if (untold_.size() == 1) TellUntold();
}

// One page after the other: a guest that is at an earlier one is asked again.
void Machine::TellUntold() {
  untold_timer_.reset();
  while (!ended_ && !untold_.empty()) {
    auto& [lost, reported] = untold_.front();
    const MemoryErrorResult result =
        TellGuest({.at = lost.base, .action_required = false}, 0);
    const bool later = result == MemoryErrorResult::kLater;
    if (later && !IsOver(untold_since_)) {
      untold_timer_ =
          context_.loop.RunAfter(kUntoldPause, [this] { TellUntold(); });
      return;
    }
    // What is later still will not be told, nor will the others.
    if (!later) untold_since_.reset();
    const bool told = result == MemoryErrorResult::kTold;
    if (!std::exchange(reported, true)) {
      ReportMemoryFailure(lost, /*action_required=*/false,
                          told ? result : MemoryErrorResult::kUntold);
    } else if (!told) {
      memory_log_.Warn(absl::StrFormat(
          "the guest cannot be told of %d KiB from 0x%x on, which are lost too",
          lost.size / 1024, lost.base.value));
    }
    lost = {lost.base + kPage, lost.size - kPage};
    if (!told || lost.size == 0) untold_.pop_front();
  }
}

// The guest that had them is no more.
void Machine::ForgetLost() {
  while (BusErrors::Take()) continue;
  lost_pages_.clear();
  untold_.clear();
  late_since_.reset();
  untold_since_.reset();
  if (untold_timer_) context_.loop.Cancel(*untold_timer_);
  untold_timer_.reset();
}

// False when all of it is known, or when there is so much that more is no news.
bool Machine::RememberLost(const RamRange& lost) {
  constexpr size_t kMostPages = 65536;
  bool news = false;
  for (uint64_t at = 0; at < lost.size; at += kPage) {
    if (lost_pages_.size() == kMostPages) break;
    news |= lost_pages_.insert(lost.base + at).second;
  }
  return news;
}

// On the vCPU's thread, which is paused now.
void Machine::OnLostMemory(uint32_t vcpu, const BusError& error) {
  const std::optional<Gpa> at = memory_->Find(error.at);
  PostLostMemory(vcpu, {at, at ? LostWith(*memory_, error, *at) : RamRange{}});
}

void Machine::OnLostMemory(uint32_t vcpu, Gpa at) {
  const RamRange page{Gpa{at.value / kPage * kPage}, kPage};
  if (!memory_->Contains(page.base, page.size)) return PostLostMemory(vcpu, {});
  PostLostMemory(vcpu, {at, page});
}

void Machine::PostLostMemory(uint32_t vcpu, const LostMemory& lost) {
  context_.loop.Post([this, vcpu, lost, boot = boot_.load()] {
    // A reset came first: the guest that met it is no more.
    if (!ended_ && boot == boot_.load()) HandleLostMemory(lost, vcpu);
    vcpus_[vcpu]->Resume(PausedBy::kLostMemory);
  });
}

void Machine::HandleLostMemory(const LostMemory& met, uint32_t vcpu) {
  const auto end = [this, vcpu](const std::string& text) {
    EndCrash(DebugSignal::kTripleFault, vcpu,
             {.reason = VerdictReason::kMemoryError,
              .text = absl::StrCat("vcpu ", vcpu, ": ", text)},
             ShutdownCause::kHostError);
  };
  if (!met.at) return end("the host has lost memory beside the guest's RAM");
  const MemoryError lost{.at = Gpa{met.at->value / kPage * kPage},
                         .action_required = true};
  MemoryErrorResult result = TellGuest(lost, vcpu);
  const bool later = result == MemoryErrorResult::kLater;
  // The vCPU goes on and meets the error again, until the guest can hear of it.
  if (later && !IsOver(late_since_)) return;
  late_since_.reset();
  if (later) result = MemoryErrorResult::kCannotTell;
  const bool fatal = result == MemoryErrorResult::kCannotTell;
  // A guest can meet one page as often as it likes.
  const RamRange page{lost.at, kPage};
  if (RememberLost(page) || fatal) {
    ReportMemoryFailure(page, /*action_required=*/true, result);
  }
  if (fatal) {
    return end(absl::StrFormat(
        "the host has lost the page at guest address 0x%x, and the guest %s",
        lost.at.value,
        later ? "does not finish with an earlier error"
              : "cannot take an error there"));
  }
  const Gpa after = page.base + kPage;
  TellLater({met.all.base, page.base - met.all.base});
  TellLater({after, met.all.base + met.all.size - after});
}

// The vCPU that met it comes first: what becomes of it decides.
MemoryErrorResult Machine::TellGuest(const MemoryError& error, uint32_t vcpu) {
  const auto tell = [&](Vcpu& to, bool own) {
    absl::StatusOr<MemoryErrorResult> result = MemoryErrorResult::kUntold;
    to.RunOnThread([&](KvmVcpu& kvm) {
      result = platform_->InjectMemoryError(kvm, error, own);
    });
    if (!result.ok()) memory_log_.Warn(std::string(result.status().message()));
    return result.value_or(error.action_required
                               ? MemoryErrorResult::kCannotTell
                               : MemoryErrorResult::kUntold);
  };
  HurryConsoles(true);
  const MemoryErrorResult result = tell(*vcpus_[vcpu], /*own=*/true);
  const auto end = Clock::now() + kPatience;
  for (const auto& other : vcpus_) {
    if (result != MemoryErrorResult::kTold) break;
    if (other->index() == vcpu) continue;
    // The one that met it waits for this one, a second at most.
    while (tell(*other, /*own=*/false) == MemoryErrorResult::kLater &&
           Clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  if (state_ == RunState::kRunning) HurryConsoles(false);
  return result;
}

// QEMU's event, with its words.
void Machine::ReportMemoryFailure(const RamRange& lost, bool action_required,
                                  MemoryErrorResult result) {
  const char* action = "ignore";
  if (result == MemoryErrorResult::kTold) action = "inject";
  if (result == MemoryErrorResult::kCannotTell) action = "fatal";
  memory_log_.Warn(absl::StrFormat(
      "the host has lost %d KiB at guest address 0x%x; action: %s",
      lost.size / 1024, lost.base.value, action));
  context_.events.Emit(
      "MEMORY_FAILURE",
      {{"recipient", "guest"},
       {"action", action},
       {"flags", {{"action-required", action_required}, {"recursive", false}}},
       {"__org.kvmlet_address", lost.base.value},
       {"__org.kvmlet_size", lost.size}});
}

absl::Status Machine::InjectMemoryError(uint64_t address, bool action_required,
                                        uint32_t vcpu) {
  if (ended_) return absl::FailedPreconditionError("the machine has ended");
  if (vcpu >= vcpus_.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no vCPU ", vcpu, ", the last is ", vcpus_.size() - 1));
  }
  const MemoryError error{.at = Gpa{address / kPage * kPage},
                          .action_required = action_required};
  if (!memory_->Contains(error.at, kPage)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the guest has no memory at 0x%x", error.at.value));
  }
  const MemoryErrorResult result = TellGuest(error, vcpu);
  if (result == MemoryErrorResult::kTold) {
    ReportMemoryFailure({error.at, kPage}, action_required, result);
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "the guest cannot hear of a memory error now");
}

}  // namespace kvmlet
