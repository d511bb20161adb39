// SPDX-License-Identifier: Apache-2.0
// The guest's side of the verdict: a line "NUMBER [TEXT]" that a program in
// the guest writes to the virtio-console port "kvmlet.verdict" ends the guest
// with that number. A line without a number is ignored.
//
// Threads: OnOutput on one thread at a time. Lines are cut at 512 bytes.
#ifndef KVMLET_VMM_VERDICT_PORT_H_
#define KVMLET_VMM_VERDICT_PORT_H_

#include <cstddef>
#include <span>
#include <string>

#include "vmm/base/log_limiter.h"
#include "vmm/bus/guest_requests.h"

namespace kvmlet {

class VerdictPort {
 public:
  static constexpr char kName[] = "kvmlet.verdict";

  explicit VerdictPort(GuestRequests& requests) : requests_(requests) {}
  void OnOutput(std::span<const std::byte> data);
  // The machine was reset: an unfinished line will never be finished.
  // Not while OnOutput may be called.
  void Reset() { line_.clear(); }

 private:
  void OnLine();

  GuestRequests& requests_;
  LogLimiter log_{"verdict port"};
  std::string line_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_VERDICT_PORT_H_
