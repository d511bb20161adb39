// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/interrupts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {

absl::Status Interrupts::ConnectIntx(InterruptRouter& router, uint32_t pin) {
  const std::lock_guard lock(mutex_);
  KVMLET_ASSIGN_OR_RETURN(trigger_, EventFd::Create());
  KVMLET_ASSIGN_OR_RETURN(acknowledged_, EventFd::Create());
  KVMLET_ASSIGN_OR_RETURN(
      level_, router.ConnectLevel(pin, trigger_->get(), acknowledged_->get()));
  return absl::OkStatus();
}

void Interrupts::DisableLocked() {
  if (active_) device_.DisableIrqs(*active_);
  active_.reset();
  armed_.clear();
}

void Interrupts::Disable() {
  const std::lock_guard lock(mutex_);
  DisableLocked();
}

void Interrupts::UseIntx() {
  const std::lock_guard lock(mutex_);
  if (active_ == IrqIndex::kIntx) return;
  DisableLocked();
  if (level_ == nullptr) return;
  const int fd = trigger_->get();
  const int got = device_.SetTriggers(IrqIndex::kIntx, 0, std::span(&fd, 1));
  if (got != 0) {
    log_.Warn(absl::StrCat("INTx cannot be used: errno ", -got));
    return;
  }
  active_ = IrqIndex::kIntx;
  armed_.assign(1, fd);
  // The kernel masks the interrupt when it signals it, until this one says
  // that the guest has acknowledged it.
  if (absl::Status s = device_.SetUnmask(acknowledged_->get()); !s.ok()) {
    log_.Warn(s.ToString());
    DisableLocked();
  }
}

// The device must be in its message mode even while no vector has an eventfd:
// functions talk to each other by messages that depend on it. Where vectors
// cannot be added later, all are enabled now.
bool Interrupts::EnableLocked(IrqIndex index, uint32_t vectors) {
  const uint32_t most = device_.irq(index).count;
  uint32_t count = device_.irq(index).no_resize ? vectors : 1;
  count = std::min(std::max(count, 1u), most);
  if (count == 0) return false;
  std::vector<int> none(count, -1);
  int got = device_.SetTriggers(index, 0, none);
  if (got > 0 && static_cast<uint32_t>(got) < count) {
    log_.Warn(absl::StrCat("the host has only ", got, " of ", count,
                           " interrupt vectors for it"));
    none.resize(static_cast<size_t>(got));
    got = device_.SetTriggers(index, 0, none);
  }
  if (got != 0) {
    log_.Warn(absl::StrCat("message interrupts cannot be used: errno ", -got));
    return false;
  }
  active_ = index;
  // What cannot grow ends with what was enabled.
  const bool fixed = device_.irq(index).no_resize;
  armed_.assign(fixed ? none.size() : std::min(vectors, most), -1);
  return true;
}

void Interrupts::UseMessages(IrqIndex index, uint32_t vectors,
                             const EventFdOf& of) {
  const std::lock_guard lock(mutex_);
  if (active_ != index) {
    DisableLocked();
    if (!EnableLocked(index, vectors)) return;
  }
  UpdateLocked(0, vectors, of);
}

void Interrupts::Update(uint32_t first, uint32_t count, const EventFdOf& of) {
  const std::lock_guard lock(mutex_);
  if (!active_ || active_ == IrqIndex::kIntx) return;
  UpdateLocked(first, count, of);
}

// One request for every run of vectors whose eventfds are new.
void Interrupts::UpdateLocked(uint32_t first, uint32_t count,
                              const EventFdOf& of) {
  const auto size = static_cast<uint32_t>(armed_.size());
  const uint32_t end = first < size ? first + std::min(count, size - first) : 0;
  std::vector<int> run;
  for (uint32_t i = first; i <= end && first < end; ++i) {
    const int fd = i < end ? of(i) : -1;
    if (fd >= 0 && armed_[i] != fd) {
      run.push_back(fd);
      continue;
    }
    if (run.empty()) continue;
    const auto start = i - static_cast<uint32_t>(run.size());
    const int got = device_.SetTriggers(*active_, start, run);
    if (got != 0) {
      log_.Warn(absl::StrCat("interrupt vectors from ", start,
                             " cannot be used: errno ", -got));
    } else {
      std::ranges::copy(run, armed_.begin() + start);
    }
    run.clear();
  }
}

size_t Interrupts::armed() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::ranges::count_if(armed_, [](int fd) { return fd >= 0; }));
}

}  // namespace kvmlet::vfio
