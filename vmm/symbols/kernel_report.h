// SPDX-License-Identifier: Apache-2.0
// What a report of a crash or a hang says beside registers: the kernel's
// offset, and who called whom on each vCPU, with names when there is a file of
// symbols and as bare addresses otherwise.
//
// Threads: members that take a KvmVcpu run on that vCPU's thread, one at a
// time; the others on the main loop's. Nothing here fails a report: what cannot
// be told is a line that says why. Addresses are the guest's virtual ones.
#ifndef KVMLET_VMM_SYMBOLS_KERNEL_REPORT_H_
#define KVMLET_VMM_SYMBOLS_KERNEL_REPORT_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/backtrace.h"
#include "vmm/symbols/symbol_file.h"

namespace kvmlet {

class KernelReport {
 public:
  // Reads the file, if there is one; it outlives the report.
  explicit KernelReport(SymbolFile* file);

  // Nobody has told the offset yet, and there is a use for it.
  bool wants_offset() const { return symbols_ != nullptr && !offset_; }
  void LookForOffset(const KvmVcpu& vcpu, const GuestMemory& memory);

  // Which symbols these are, in one line; empty without a file.
  std::string Header() const;
  // Empty when there is nothing to tell.
  std::string BacktraceText(const KvmVcpu& vcpu,
                            const GuestMemory& memory) const;
  // The offset, and what gdb wants to hear.
  absl::StatusOr<std::string> OffsetText() const;

 private:
  const SymbolFile* file_;
  absl::Status status_;                           // of the file
  const KernelSymbols* symbols_ = nullptr;        // null when there are none
  const arch::Backtracer* backtracer_ = nullptr;  // with the symbols, if any
  std::unique_ptr<arch::Backtracer> plain_;       // without
  std::optional<arch::KernelOffset> offset_;
};

// The text of a backtrace, a line a frame, as Linux writes them: "?" before
// what was only found on the stack. `symbols` may be null.
std::string FormatBacktrace(const arch::Backtrace& backtrace,
                            const KernelSymbols* symbols, uint64_t offset);

}  // namespace kvmlet

#endif  // KVMLET_VMM_SYMBOLS_KERNEL_REPORT_H_
