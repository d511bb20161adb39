// SPDX-License-Identifier: Apache-2.0
// The guest as a core file, see vmm/core/guest_core.h.
#include <glog/logging.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "arch/core.h"
#include "vmm/base/status_macros.h"
#include "vmm/core/guest_core.h"
#include "vmm/machine.h"

namespace kvmlet {
namespace {

constexpr size_t kMostMappings = 32'768;

}  // namespace

absl::StatusOr<std::vector<arch::CoreNote>> Machine::ReadCoreNotes() {
  std::vector<arch::CoreNote> notes;
  absl::Status status;
  for (const auto& vcpu : vcpus_) {
    vcpu->RunOnThread([&](KvmVcpu& kvm) {
      auto more = arch::ReadCoreNotes(kvm, vcpu->index());
      status.Update(more.status());
      if (more.ok()) std::ranges::move(*more, std::back_inserter(notes));
    });
  }
  if (!status.ok()) return status;
  return notes;
}

absl::Status Machine::DumpGuest(const std::string& path, bool paging) {
  if (state_ == RunState::kPrelaunch) {
    return absl::FailedPreconditionError("the machine has not started");
  }
  PauseVcpus();
  auto notes = ReadCoreNotes();
  absl::Status status = notes.status();
  std::vector<arch::CoreMapping> mappings;
  // The kernel's half is the same on each vCPU that has paging; one that is at
  // its reset state, as after a triple fault on AMD, has none.
  for (const auto& vcpu : vcpus_) {
    if (!status.ok() || !paging || !mappings.empty()) break;
    vcpu->RunOnThread([&](KvmVcpu& kvm) {
      auto all = arch::ReadCoreMappings(kvm, *memory_, kMostMappings);
      status.Update(all.status());
      if (all.ok()) mappings = *std::move(all);
    });
  }
  if (status.ok()) {
    GuestCore core{.memory = *memory_,
                   .machine = arch::CoreMachine(),
                   .notes = *std::move(notes),
                   .paging = paging,
                   .mappings = std::move(mappings)};
    if (debugger_ != nullptr) {
      core.hide = [this](Gpa at, std::span<std::byte> copy) {
        debugger_->breakpoints().Hide(at, copy);
      };
    }
    const absl::StatusOr<GuestCoreSummary> summary = WriteGuestCore(path, core);
    status = summary.status();
    LOG_IF(WARNING, summary.ok() && summary->unreadable > 0)
        << "dump " << path << ": " << summary->unreadable
        << " bytes of memory could not be read and are left out";
  }
  // As Resume: a request of the guest that waits on this loop keeps its hold.
  const bool runs = state_ == RunState::kRunning && !ended_ && !crash_;
  if (runs && !requested_.load()) ResumeVcpus();
  return status;
}

}  // namespace kvmlet
