// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/unwind.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kWord = 8;
constexpr unsigned kUpperHalf = 55;
constexpr uint64_t kSizeMask = 0x3f;  // of TCR_EL1.T0SZ and T1SZ
constexpr unsigned kT1SizeShift = 16;
constexpr unsigned kMostUnused = 48;

struct Record {
  uint64_t fp;
  uint64_t lr;
};
// Since Linux 6.13 a record of zeroes says in the next word what it is.
constexpr uint64_t kMetaRegs = 2;
// From the record that is part of struct pt_regs: PC, X30 and X29 below it.
constexpr uint64_t kRegsPc = 40;
constexpr uint64_t kRegsLr = 56;
constexpr uint64_t kRegsFp = 64;

bool IsKernel(uint64_t address) { return (address >> kUpperHalf & 1) != 0; }

}  // namespace

uint64_t SignatureMask(bool upper, uint64_t tcr) {
  const uint64_t unused = (upper ? tcr >> kT1SizeShift : tcr) & kSizeMask;
  if (unused == 0 || unused > kMostUnused) return 0;
  return ~0ull << (64 - unused) & ~(1ull << kUpperHalf);
}

uint64_t WithoutSignature(uint64_t address, uint64_t tcr) {
  const bool upper = IsKernel(address);
  const uint64_t mask = SignatureMask(upper, tcr);
  return upper ? address | mask : address & ~mask;
}

Backtrace Unwind(const GuestView& view, const UnwindRegisters& start) {
  Backtrace out{.method = "frame pointers"};
  const auto clean = [&start](uint64_t address) {
    return WithoutSignature(address, start.tcr);
  };
  out.frames.push_back({.pc = start.pc, .exact = true});
  // A function that has not made its record yet, or makes none, has its caller
  // in X30; one that has may have anything there.
  uint64_t guess = clean(start.lr);
  uint64_t fp = start.fp;
  std::vector<uint64_t> seen;
  while (out.frames.size() < kMostFrames && IsKernel(fp) && fp % kWord == 0 &&
         std::ranges::find(seen, fp) == seen.end()) {
    seen.push_back(fp);
    const auto record = view.Load<Record>(fp);
    if (!record) break;
    if (record->fp == 0 && record->lr == 0) {
      const auto type = view.Load<uint64_t>(fp + sizeof(Record));
      if (type != kMetaRegs) break;
      const auto pc = view.Load<uint64_t>(fp - kRegsPc);
      const auto lr = view.Load<uint64_t>(fp - kRegsLr);
      const auto next = view.Load<uint64_t>(fp - kRegsFp);
      if (!pc || !lr || !next || !IsKernel(*pc)) break;
      out.frames.push_back({.pc = *pc, .exact = true});
      guess = clean(*lr);
      fp = *next;
      continue;
    }
    const uint64_t lr = clean(record->lr);
    if (!IsKernel(lr)) break;
    if (IsKernel(guess) && guess != lr && guess != out.frames.back().pc) {
      out.frames.push_back({.pc = guess, .guessed = true});
    }
    guess = 0;
    out.frames.push_back({.pc = lr});
    fp = record->fp;
  }
  return out;
}

}  // namespace kvmlet::arch::arm64
