// SPDX-License-Identifier: Apache-2.0
// Writes the file of --trace-exits. Each vCPU's thread has a part of the mapped
// file to itself: no locks and no system calls, and what is written is in the
// file however the process ends. A full ring loses its oldest records.
//
// Threads: a recorder belongs to its vCPU's thread, but Totals, which is for
// any. Times are in nanoseconds, sizes in bytes. Errors name flag and file.
// Format: exit_trace_format.h.
#ifndef KVMLET_VMM_EXITS_EXIT_TRACE_H_
#define KVMLET_VMM_EXITS_EXIT_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/base/unique_fd.h"
#include "vmm/exits/exit_trace_format.h"

struct kvm_run;

namespace kvmlet {

// One thread writes it; no other's data is on its cache lines.
class alignas(64) ExitRecorder {
 public:
  // `part` is the vCPU's part of the file and has room for `capacity` records.
  ExitRecorder(std::span<std::byte> part, uint64_t capacity, uint64_t start);

  // The guest is entered next.
  void Enter();
  // KVM_RUN came back without an exit for the monitor.
  void Interrupted();
  // It came back with one, which the monitor is about to handle ...
  void Exit(const kvm_run& run);
  // ... and has handled.
  void Handled();

  // Of one of kExitReasons.
  ExitTotals Totals(size_t reason) const;

 private:
  ExitTraceVcpu& head_;
  std::byte* const ring_;
  const uint64_t capacity_;
  const uint64_t start_;
  uint64_t next_ = 0;     // place in the ring
  uint64_t entered_ = 0;  // on the clock, as is left_
  uint64_t guest_ = 0;    // before entered_, since the last exit
  uint64_t left_ = 0;
  uint64_t what_ = 0;
};

class ExitTrace {
 public:
  // Takes the place of a regular file; `bytes` holds for at least one page of
  // records a vCPU.
  static absl::StatusOr<std::unique_ptr<ExitTrace>> Create(
      const std::string& path, uint64_t bytes, uint32_t vcpus);
  // Says in the file that it is whole. The vCPUs' threads are gone.
  ~ExitTrace();
  ExitTrace(const ExitTrace&) = delete;
  ExitTrace& operator=(const ExitTrace&) = delete;

  ExitRecorder& recorder(size_t vcpu) { return *recorders_[vcpu]; }

 private:
  ExitTrace(UniqueFd fd, MappedRegion file, uint32_t vcpus, uint64_t capacity);
  // Disk space that no record has used goes back.
  void GiveBack(size_t vcpu) const;

  const UniqueFd fd_;
  const MappedRegion file_;
  const uint64_t start_;  // on the clock
  ExitTraceHeader& header_;
  std::vector<std::unique_ptr<ExitRecorder>> recorders_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_EXITS_EXIT_TRACE_H_
