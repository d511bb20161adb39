// SPDX-License-Identifier: Apache-2.0
// A DoorbellRegistry for tests: it remembers what is attached, and rings the
// eventfd when told that the guest wrote to an address. Not thread-safe.
#ifndef KVMLET_TESTS_FAKES_FAKE_DOORBELLS_H_
#define KVMLET_TESTS_FAKES_FAKE_DOORBELLS_H_

#include <unistd.h>

#include <cstdint>
#include <map>

#include "vmm/bus/doorbell.h"

namespace kvmlet::fakes {

class FakeDoorbells : public DoorbellRegistry {
 public:
  absl::Status Attach(uint64_t mmio_address, int event_fd) override {
    if (fail_) return absl::ResourceExhaustedError("no room for doorbells");
    if (!attached_.emplace(mmio_address, event_fd).second) {
      return absl::AlreadyExistsError("doorbell");
    }
    return absl::OkStatus();
  }
  absl::Status Detach(uint64_t mmio_address, int event_fd) override {
    const auto at = attached_.find(mmio_address);
    if (at == attached_.end() || at->second != event_fd) {
      return absl::NotFoundError("doorbell");
    }
    attached_.erase(at);
    return absl::OkStatus();
  }

  const std::map<uint64_t, int>& attached() const { return attached_; }
  // The guest writes to the address; false when it would leave the guest.
  bool Ring(uint64_t mmio_address) const {
    const auto at = attached_.find(mmio_address);
    if (at == attached_.end()) return false;
    const uint64_t one = 1;
    return ::write(at->second, &one, sizeof(one)) == sizeof(one);
  }
  // Every later Attach fails.
  void Fail() { fail_ = true; }

 private:
  std::map<uint64_t, int> attached_;
  bool fail_ = false;
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_DOORBELLS_H_
