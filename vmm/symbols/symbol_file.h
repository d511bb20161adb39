// SPDX-License-Identifier: Apache-2.0
// The file of --symbols: looked at when the machine is created, read when the
// first report needs it, and then kept. It stays open, so that a build which
// puts another file in its place meanwhile changes nothing.
//
// Not thread-safe: the main loop's thread. Errors name --symbols, the file and
// the remedy; they end kvmlet at the start and are a line of the report later.
#ifndef KVMLET_VMM_SYMBOLS_SYMBOL_FILE_H_
#define KVMLET_VMM_SYMBOLS_SYMBOL_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/backtrace.h"
#include "vmm/base/unique_fd.h"
#include "vmm/symbols/kernel_symbols.h"

namespace kvmlet {

class SymbolFile {
 public:
  // `machine` is ELF's number of the guest's architecture.
  static absl::StatusOr<SymbolFile> Open(const std::string& path,
                                         uint16_t machine);

  const std::string& path() const { return path_; }
  absl::StatusOr<const KernelSymbols*> Load();
  // What reads stacks with the help of these symbols, of none when they cannot
  // be loaded.
  const arch::Backtracer& Backtracer();

 private:
  SymbolFile(std::string path, uint16_t machine, UniqueFd fd, uint64_t size)
      : path_(std::move(path)),
        machine_(machine),
        fd_(std::move(fd)),
        size_(size) {}
  SymbolBytes Bytes() const;

  std::string path_;
  uint16_t machine_;
  UniqueFd fd_;
  uint64_t size_;
  std::optional<absl::Status> status_;  // of the one attempt
  std::unique_ptr<KernelSymbols> symbols_;
  std::unique_ptr<arch::Backtracer> backtracer_;  // borrows them
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_SYMBOLS_SYMBOL_FILE_H_
