// SPDX-License-Identifier: Apache-2.0
// An InterruptRouter for tests: it counts what would reach the guest. A masked
// vector keeps its trigger as pending and delivers it when it is unmasked, as
// the real one does. Thread-safe where the real one is; counters are atomic.
#ifndef KVMLET_TESTS_FAKES_FAKE_INTERRUPTS_H_
#define KVMLET_TESTS_FAKES_FAKE_INTERRUPTS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "vmm/base/event_fd.h"
#include "vmm/bus/interrupts.h"

namespace kvmlet::fakes {

// The state of one wired pin, shared by the router and the line it handed out.
struct FakeLineState {
  uint32_t pin = 0;
  std::atomic<bool> asserted{false};
  std::atomic<int> rises{0};  // changes from low to high
};

struct FakeMsiState {
  std::atomic<int> delivered{0};
  std::atomic<int> routes{0};  // calls of Route
  bool masked = true;
  bool alive = true;
  MsiMessage staged;     // by Route
  MsiMessage committed;  // by Commit
  bool unmasked_before_commit = false;
};

class FakeInterrupts : public InterruptRouter {
 public:
  absl::StatusOr<std::unique_ptr<IrqLine>> CreateLine(uint32_t pin) override;
  absl::StatusOr<std::unique_ptr<MsiVector>> CreateMsi() override;
  absl::StatusOr<std::unique_ptr<LevelIrqfd>> ConnectLevel(
      uint32_t pin, int trigger, int acknowledged) override;
  absl::Status Commit() override;

  FakeLineState& line(size_t index) { return *lines_.at(index); }
  size_t line_count() const { return lines_.size(); }
  // In the order of CreateMsi.
  FakeMsiState& msi(size_t index) { return *vectors_.at(index); }
  size_t msi_count() const { return vectors_.size(); }
  size_t live_msi_count() const;
  int commits() const { return commits_.load(); }
  // The level irqfds that live now.
  int level_irqfds() const { return *level_irqfds_; }
  // Every later Route fails, as when the host has no routes left.
  void FailRoutes() { fail_routes_ = true; }
  bool fail_routes() const { return fail_routes_; }

 private:
  std::vector<std::shared_ptr<FakeLineState>> lines_;
  std::vector<std::shared_ptr<FakeMsiState>> vectors_;
  std::atomic<int> commits_{0};
  std::shared_ptr<int> level_irqfds_ = std::make_shared<int>(0);
  bool fail_routes_ = false;
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_INTERRUPTS_H_
