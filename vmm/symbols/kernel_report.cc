// SPDX-License-Identifier: Apache-2.0
#include "vmm/symbols/kernel_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvmlet {
namespace {

// A return address may be the start of the next function: who called is the
// one before it.
std::string NameOf(const arch::BacktraceFrame& frame,
                   const KernelSymbols& symbols, uint64_t offset) {
  const uint64_t back = frame.exact ? 0 : 1;
  const auto place = symbols.Find(frame.pc - offset - back);
  // A module of another boot was elsewhere.
  if (!place || (!place->module.empty() && offset != 0)) return {};
  std::string text = absl::StrFormat("%s+0x%x/0x%x", std::string(place->name),
                                     place->offset + back, place->size);
  if (!place->module.empty()) {
    absl::StrAppend(&text, " [", std::string(place->module), "]");
  }
  return text;
}

}  // namespace

std::string FormatBacktrace(const arch::Backtrace& backtrace,
                            const KernelSymbols* symbols, uint64_t offset) {
  if (backtrace.user) return "backtrace: in user mode\n";
  if (backtrace.frames.empty()) return {};
  std::string text = absl::StrCat("backtrace (", backtrace.method, "):\n");
  for (const arch::BacktraceFrame& frame : backtrace.frames) {
    std::string name;
    if (symbols != nullptr) name = NameOf(frame, *symbols, offset);
    absl::StrAppendFormat(&text, "  %016x %s%s", frame.pc,
                          frame.guessed ? "? " : "  ", name);
    text.erase(text.find_last_not_of(' ') + 1);
    text.push_back('\n');
  }
  return text;
}

KernelReport::KernelReport(SymbolFile* file) : file_(file) {
  if (file != nullptr) {
    const absl::StatusOr<const KernelSymbols*> symbols = file->Load();
    status_ = symbols.status();
    if (symbols.ok()) {
      symbols_ = *symbols;
      backtracer_ = &file->Backtracer();
    }
  }
  plain_ = arch::CreateBacktracer(nullptr);
}

void KernelReport::LookForOffset(const KvmVcpu& vcpu,
                                 const GuestMemory& memory) {
  if (wants_offset()) offset_ = backtracer_->FindOffset(vcpu, memory);
}

std::string KernelReport::Header() const {
  if (file_ == nullptr) return {};
  if (symbols_ == nullptr) return absl::StrCat(status_.message(), "\n");
  if (!offset_) {
    return absl::StrCat("--symbols ", file_->path(),
                        ": does not fit the kernel that runs, or none runs "
                        "yet: addresses are without names; give the file of "
                        "the very build that runs\n");
  }
  return absl::StrFormat("symbols of %s, offset 0x%x (%s)\n", file_->path(),
                         offset_->value, offset_->source);
}

std::string KernelReport::BacktraceText(const KvmVcpu& vcpu,
                                        const GuestMemory& memory) const {
  // Tables of a kernel that is elsewhere would only mislead.
  const uint64_t offset = offset_ ? offset_->value : 0;
  const arch::Backtracer& backtracer = offset_ ? *backtracer_ : *plain_;
  const absl::StatusOr<arch::Backtrace> backtrace =
      backtracer.Read(vcpu, memory, offset);
  if (!backtrace.ok()) {
    return absl::StrCat("backtrace: ", backtrace.status().message(), "\n");
  }
  return FormatBacktrace(*backtrace, offset_ ? symbols_ : nullptr, offset);
}

absl::StatusOr<std::string> KernelReport::OffsetText() const {
  if (file_ == nullptr) {
    return absl::FailedPreconditionError(
        "start kvmlet with --symbols vmlinux, and this says how far the "
        "running kernel is from it");
  }
  if (!status_.ok()) return status_;
  if (!offset_) {
    return absl::NotFoundError(
        absl::StrCat(file_->path(),
                     ": does not fit the kernel that runs, or none runs yet; "
                     "give the file of the very build that runs"));
  }
  std::string text =
      absl::StrFormat("the kernel is at the addresses of %s plus 0x%x (%s)\n",
                      file_->path(), offset_->value, offset_->source);
  if (symbols_->format() == SymbolFormat::kElf) {
    absl::StrAppendFormat(&text, "symbol-file -o 0x%x %s\n", offset_->value,
                          file_->path());
    return text;
  }
  // The list may be of a kernel that was moved already: gdb has to count from
  // where its own file has the text.
  const std::optional<uint64_t> start = symbols_->AddressOf("_text");
  if (start) {
    absl::StrAppendFormat(&text,
                          "_text is at 0x%x: symbol-file -o 0x%x-ADDRESS "
                          "vmlinux, with _text's ADDRESS in that vmlinux\n",
                          *start + offset_->value, *start + offset_->value);
  }
  return text;
}

}  // namespace kvmlet
