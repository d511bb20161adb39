// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/exit_catches.h"

#include <linux/kvm.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "vmm/kvm/exit_reasons.h"

namespace kvmlet {
namespace {

constexpr size_t kMostCatches = 64;

// An access of a guest to a device, as KVM tells it.
struct Access {
  bool write = false;
  uint64_t at = 0;
  uint64_t size = 0;   // of one item
  uint64_t count = 1;  // items, all at the same port
  std::span<const std::byte> data{};
};

bool HasRange(uint32_t reason) {
  return reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO;
}

std::optional<Access> AccessOf(const KvmVcpu& vcpu) {
  const kvm_run& run = vcpu.run();
  if (run.exit_reason == KVM_EXIT_IO) {
    const uint64_t bytes = uint64_t{run.io.size} * run.io.count;
    return Access{.write = run.io.direction == KVM_EXIT_IO_OUT,
                  .at = run.io.port,
                  .size = run.io.size,
                  .count = run.io.count,
                  .data = vcpu.RunPage(run.io.data_offset, bytes)};
  }
  if (run.exit_reason == KVM_EXIT_MMIO) {
    const size_t size = std::min<size_t>(run.mmio.len, sizeof(run.mmio.data));
    return Access{.write = run.mmio.is_write != 0,
                  .at = run.mmio.phys_addr,
                  .size = size,
                  .data = std::as_bytes(std::span(run.mmio.data)).first(size)};
  }
  return std::nullopt;
}

bool Wants(const ExitCatch& wanted, uint32_t reason,
           const std::optional<Access>& access) {
  if (wanted.reason != reason) return false;
  if (!access) return true;
  const uint64_t last = access->at + std::max<uint64_t>(access->size, 1) - 1;
  return (access->write ? wanted.writes : wanted.reads) &&
         access->at <= wanted.last && last >= wanted.first;
}

std::optional<uint32_t> ReasonOf(std::string_view name) {
  for (uint32_t reason = 0; reason < kExitReasons; ++reason) {
    if (ExitReasonName(reason) == name) return reason;
  }
  return std::nullopt;
}

// FIRST[-LAST]
bool TakeRange(const std::string& word, ExitCatch& wanted) {
  const size_t dash = word.find('-');
  const auto first = NumberOf(std::string_view(word).substr(0, dash));
  if (!first) return false;
  wanted.first = wanted.last = *first;
  if (dash == std::string::npos) return true;
  const auto last = NumberOf(std::string_view(word).substr(dash + 1));
  if (!last || *last < *first) return false;
  wanted.last = *last;
  return true;
}

}  // namespace

std::optional<uint64_t> NumberOf(std::string_view text) {
  uint64_t value = 0;
  const absl::string_view digits(text.data(), text.size());
  const bool good = absl::StartsWith(digits, "0x")
                        ? absl::SimpleHexAtoi(digits, &value)
                        : absl::SimpleAtoi(digits, &value);
  if (!good) return std::nullopt;
  return value;
}

std::string ExitCatch::Text() const {
  std::string text = ExitReasonName(reason);
  if (first == last) {
    absl::StrAppendFormat(&text, " %#x", first);
  } else if (last != UINT64_MAX) {
    absl::StrAppendFormat(&text, " %#x-%#x", first, last);
  }
  if (!reads) absl::StrAppend(&text, " write");
  if (!writes) absl::StrAppend(&text, " read");
  return text;
}

absl::StatusOr<ExitCatch> ExitCatches::Parse(
    std::span<const std::string> words) {
  if (words.empty()) return absl::InvalidArgumentError("which exit?");
  const std::optional<uint32_t> reason = ReasonOf(words[0]);
  // A signal's, or the debugger's own.
  if (!reason || *reason == KVM_EXIT_INTR || *reason == KVM_EXIT_DEBUG) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", words[0],
                     "' is no exit that can be caught; io, mmio, shutdown, "
                     "system_event, internal_error, fail_entry, or another "
                     "that monitor exits names"));
  }
  ExitCatch wanted{.reason = *reason};
  words = words.subspan(1);
  if (!words.empty() && !HasRange(*reason)) {
    return absl::InvalidArgumentError(
        absl::StrCat("only io and mmio go with more words: '", words[0], "'"));
  }
  if (!words.empty() && TakeRange(words[0], wanted)) words = words.subspan(1);
  if (!words.empty() && (words[0] == "read" || words[0] == "write")) {
    wanted.reads = words[0] == "read";
    wanted.writes = !wanted.reads;
    words = words.subspan(1);
  }
  if (words.empty()) return wanted;
  return absl::InvalidArgumentError(
      absl::StrCat("'", words[0], "' is not FIRST[-LAST], then read or write"));
}

absl::StatusOr<uint32_t> ExitCatches::Add(const ExitCatch& wanted) {
  if (catches_.size() == kMostCatches) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there are ", kMostCatches,
                     " already; monitor catch off NUMBER takes one away"));
  }
  catches_.emplace(next_, wanted);
  return next_++;
}

std::optional<uint32_t> ExitCatches::Find(const KvmVcpu& vcpu) const {
  const std::optional<Access> access = AccessOf(vcpu);
  for (const auto& [number, wanted] : catches_) {
    if (Wants(wanted, vcpu.run().exit_reason, access)) return number;
  }
  return std::nullopt;
}

std::string ExitCatches::Describe() const {
  if (catches_.empty()) return "no exit is caught\n";
  std::string text;
  for (const auto& [number, wanted] : catches_) {
    absl::StrAppend(&text, number, ": ", wanted.Text(), "\n");
  }
  return text;
}

std::string DescribeExit(const KvmVcpu& vcpu) {
  constexpr size_t kMostBytes = 16;
  const kvm_run& run = vcpu.run();
  std::string text = ExitReasonName(run.exit_reason);
  if (run.exit_reason == KVM_EXIT_SYSTEM_EVENT) {
    absl::StrAppend(&text, " of type ", run.system_event.type);
  }
  const std::optional<Access> access = AccessOf(vcpu);
  if (!access) return text;
  absl::StrAppendFormat(&text, " %s of ", access->write ? "write" : "read");
  if (access->count != 1) absl::StrAppend(&text, access->count, " times ");
  absl::StrAppendFormat(&text, "%d byte%s at %#x:", access->size,
                        access->size == 1 ? "" : "s", access->at);
  size_t shown = 0;
  for (size_t at = 0; at + access->size <= access->data.size() &&
                      access->size != 0 && shown + access->size <= kMostBytes;
       at += access->size, shown += access->size) {
    absl::StrAppend(&text, " 0x");
    for (size_t byte = access->size; byte-- > 0;) {
      absl::StrAppendFormat(&text, "%02x",
                            static_cast<int>(access->data[at + byte]));
    }
  }
  if (shown < access->data.size()) absl::StrAppend(&text, " ...");
  return text;
}

}  // namespace kvmlet
