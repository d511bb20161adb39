// SPDX-License-Identifier: Apache-2.0
// The KVM exits that the debugger's client wants to hear of: all with one
// reason, or accesses to a range of ports or of device memory. What KVM answers
// itself never leaves it and is not caught. Catches are numbered from 1 on.
//
// Threads: changed by the main loop's while every vCPU is outside the guest,
// read by any. Addresses are guest-physical. Errors are for people.
// Specification: Documentation/virt/kvm/api.rst, "The kvm_run structure".
#ifndef KVMLET_VMM_DEBUG_EXIT_CATCHES_H_
#define KVMLET_VMM_DEBUG_EXIT_CATCHES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_vcpu.h"

namespace kvmlet {

struct ExitCatch {
  uint32_t reason = 0;  // KVM_EXIT_...
  // Both ends are in; everything but for ports and device memory.
  uint64_t first = 0;
  uint64_t last = UINT64_MAX;
  bool reads = true;
  bool writes = true;

  // "io 0x3f8-0x3ff write", as Parse takes it.
  std::string Text() const;
};

class ExitCatches {
 public:
  // REASON, or io|mmio [FIRST[-LAST]] [read|write].
  static absl::StatusOr<ExitCatch> Parse(std::span<const std::string> words);

  // Its number.
  absl::StatusOr<uint32_t> Add(const ExitCatch& wanted);
  // False when there is none of this number.
  bool Remove(uint32_t number) { return catches_.erase(number) != 0; }
  void Clear() { catches_.clear(); }

  bool empty() const { return catches_.empty(); }
  bool contains(uint32_t number) const { return catches_.contains(number); }
  // The first that wants the exit which the vCPU made.
  std::optional<uint32_t> Find(const KvmVcpu& vcpu) const;
  // A line each.
  std::string Describe() const;

 private:
  std::map<uint32_t, ExitCatch> catches_;
  uint32_t next_ = 1;
};

// A number as people type it at `monitor`: decimal, or hexadecimal after 0x.
std::optional<uint64_t> NumberOf(std::string_view text);

// The exit that the vCPU made, once it was answered: "io write of 1 byte at
// 0x3f8: 0x41".
std::string DescribeExit(const KvmVcpu& vcpu);

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_EXIT_CATCHES_H_
