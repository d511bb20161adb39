// SPDX-License-Identifier: Apache-2.0
// A machine for tests that only remembers what its guest asked for, and through
// which door. Thread-safe.
#ifndef KVMLET_TESTS_FAKES_FAKE_GUEST_REQUESTS_H_
#define KVMLET_TESTS_FAKES_FAKE_GUEST_REQUESTS_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "vmm/bus/guest_requests.h"

namespace kvmlet::fakes {

struct GuestRequest {
  enum Kind { kPowerOff, kReset, kExit, kPanic, kEject } kind = kPowerOff;
  Door door = Door::kExitDevice;
  uint64_t code = 0;          // kExit; kEject: the slots
  std::string text{};         // kExit
  bool crash_loaded = false;  // kPanic
  friend bool operator==(const GuestRequest&, const GuestRequest&) = default;
};

class FakeGuestRequests : public GuestRequests {
 public:
  void PowerOff(Door door) override {
    Add({.kind = GuestRequest::kPowerOff, .door = door});
  }
  void Reset(Door door) override {
    Add({.kind = GuestRequest::kReset, .door = door});
  }
  void Exit(Door door, uint64_t code, std::string text) override {
    Add({.kind = GuestRequest::kExit,
         .door = door,
         .code = code,
         .text = std::move(text)});
  }
  void Panic(Door door, bool crash_loaded) override {
    Add({.kind = GuestRequest::kPanic,
         .door = door,
         .crash_loaded = crash_loaded});
  }
  void EjectPci(uint32_t slots) override {
    Add({.kind = GuestRequest::kEject, .code = slots});
  }

  // In the order in which they came.
  std::vector<GuestRequest> all() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Add(GuestRequest request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
  }

  mutable std::mutex mutex_;
  std::vector<GuestRequest> requests_;  // guarded by mutex_
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_GUEST_REQUESTS_H_
