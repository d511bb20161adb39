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
  absl::Status status;
  WhilePaused([&] { status = DumpPaused(path, paging); });
  return status;
}

absl::Status Machine::DumpPaused(const std::string& path, bool paging) {
  KVMLET_ASSIGN_OR_RETURN(std::vector<arch::CoreNote> notes, ReadCoreNotes());
  absl::Status status;
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
  KVMLET_RETURN_IF_ERROR(status);
  GuestCore core{.memory = *memory_,
                 .machine = arch::CoreMachine(),
                 .notes = std::move(notes),
                 .paging = paging,
                 .mappings = std::move(mappings)};
  if (debugger_ != nullptr) {
    core.hide = [this](Gpa at, std::span<std::byte> copy) {
      debugger_->breakpoints().Hide(at, copy);
    };
  }
  KVMLET_ASSIGN_OR_RETURN(const GuestCoreSummary summary,
                          WriteGuestCore(path, core));
  LOG_IF(WARNING, summary.unreadable > 0)
      << "dump " << path << ": " << summary.unreadable
      << " bytes of memory could not be read and are left out";
  return absl::OkStatus();
}

}  // namespace kvmlet
