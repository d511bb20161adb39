// SPDX-License-Identifier: Apache-2.0
#include "vmm/symbols/symbol_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

std::string Label(const std::string& path) {
  return absl::StrCat("--symbols ", path);
}

bool ReadAll(int fd, uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n =
        ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    offset += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

absl::StatusOr<SymbolFile> SymbolFile::Open(const std::string& path,
                                            uint16_t machine) {
  // O_NONBLOCK: a FIFO without a writer must not hang the start.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return CannotOpen(errno, Label(path));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return CannotOpen(errno, Label(path));
  if (!S_ISREG(st.st_mode)) {
    return BadInput(absl::StrCat(
        Label(path), ": not a regular file; copy it into one first"));
  }
  SymbolFile file(path, machine, std::move(fd),
                  static_cast<uint64_t>(st.st_size));
  const absl::Status status = RecogniseSymbols(file.Bytes(), machine).status();
  if (!status.ok()) return Prefixed(Label(path), status);
  return file;
}

SymbolBytes SymbolFile::Bytes() const {
  return {.size = size_,
          .read = [fd = fd_.get()](uint64_t offset, std::span<std::byte> out) {
            return ReadAll(fd, offset, out);
          }};
}

absl::StatusOr<const KernelSymbols*> SymbolFile::Load() {
  if (!status_) {
    auto symbols = KernelSymbols::Parse(Bytes(), machine_);
    status_ = Prefixed(Label(path_), symbols.status());
    if (!status_->ok()) {
      status_ =
          BadInput(absl::StrCat(status_->message(),
                                "; copy it again, or give the vmlinux of this "
                                "build"));
    }
    if (symbols.ok()) symbols_ = *std::move(symbols);
  }
  if (!status_->ok()) return *status_;
  return symbols_.get();
}

const arch::Backtracer& SymbolFile::Backtracer() {
  if (backtracer_ == nullptr) {
    const absl::StatusOr<const KernelSymbols*> symbols = Load();
    backtracer_ = arch::CreateBacktracer(symbols.ok() ? *symbols : nullptr);
  }
  return *backtracer_;
}

}  // namespace kvmlet
