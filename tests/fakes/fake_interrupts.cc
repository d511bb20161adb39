// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_interrupts.h"

#include <algorithm>
#include <utility>

#include "vmm/base/status_macros.h"

namespace kvmlet::fakes {
namespace {

class FakeLine : public IrqLine {
 public:
  explicit FakeLine(std::shared_ptr<FakeLineState> state)
      : state_(std::move(state)) {}
  void Set(bool asserted) override {
    if (!state_->asserted.exchange(asserted) && asserted) ++state_->rises;
  }

 private:
  std::shared_ptr<FakeLineState> state_;
};

class FakeMsi : public MsiVector {
 public:
  FakeMsi(const FakeInterrupts& router, EventFd event,
          std::shared_ptr<FakeMsiState> state)
      : router_(router), event_(std::move(event)), state_(std::move(state)) {}
  ~FakeMsi() override { state_->alive = false; }

  int event_fd() const override { return event_.get(); }
  void Trigger() override {
    event_.Signal();
    Deliver();
  }
  absl::Status Route(const MsiMessage& message) override {
    if (router_.fail_routes()) return absl::ResourceExhaustedError("routes");
    ++state_->routes;
    state_->staged = message;
    return absl::OkStatus();
  }
  absl::Status Unmask() override {
    if (state_->staged != state_->committed) {
      state_->unmasked_before_commit = true;
    }
    state_->masked = false;
    Deliver();
    return absl::OkStatus();
  }
  absl::Status Mask() override {
    Deliver();
    state_->masked = true;
    return absl::OkStatus();
  }
  bool Pending() const override { return event_.Signalled(); }
  void ClearPending() override { event_.Consume(); }

 private:
  void Deliver() {
    if (!state_->masked && event_.Consume()) ++state_->delivered;
  }
  const FakeInterrupts& router_;
  EventFd event_;
  std::shared_ptr<FakeMsiState> state_;
};

class FakeLevel : public LevelIrqfd {
 public:
  explicit FakeLevel(std::shared_ptr<int> count) : count_(std::move(count)) {
    ++*count_;
  }
  ~FakeLevel() override { --*count_; }

 private:
  std::shared_ptr<int> count_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LevelIrqfd>> FakeInterrupts::ConnectLevel(
    uint32_t /*pin*/, int /*trigger*/, int /*acknowledged*/) {
  return std::make_unique<FakeLevel>(level_irqfds_);
}

absl::StatusOr<std::unique_ptr<IrqLine>> FakeInterrupts::CreateLine(
    uint32_t pin) {
  lines_.push_back(std::make_shared<FakeLineState>());
  lines_.back()->pin = pin;
  return std::make_unique<FakeLine>(lines_.back());
}

absl::StatusOr<std::unique_ptr<MsiVector>> FakeInterrupts::CreateMsi() {
  KVMLET_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  vectors_.push_back(std::make_shared<FakeMsiState>());
  return std::make_unique<FakeMsi>(*this, std::move(event), vectors_.back());
}

absl::Status FakeInterrupts::Commit() {
  ++commits_;
  for (const auto& vector : vectors_) vector->committed = vector->staged;
  return absl::OkStatus();
}

size_t FakeInterrupts::live_msi_count() const {
  return static_cast<size_t>(
      std::count_if(vectors_.begin(), vectors_.end(),
                    [](const auto& v) { return v->alive; }));
}

}  // namespace kvmlet::fakes
