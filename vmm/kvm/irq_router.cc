// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/irq_router.h"

#include <glog/logging.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

class KvmIrqLine : public IrqLine {
 public:
  KvmIrqLine(const KvmVm& vm, uint32_t irq) : vm_(vm), irq_(irq) {}
  void Set(bool asserted) override {
    const absl::Status status = vm_.SetIrqLine(irq_, asserted);
    LOG_IF(ERROR, !status.ok()) << "interrupt line " << irq_ << ": " << status;
  }

 private:
  const KvmVm& vm_;
  const uint32_t irq_;
};

}  // namespace

class KvmLevelIrqfd : public LevelIrqfd {
 public:
  KvmLevelIrqfd(const KvmVm& vm, IrqRouter& router, uint32_t gsi, int trigger,
                int acknowledged)
      : vm_(vm),
        router_(router),
        gsi_(gsi),
        trigger_(trigger),
        acknowledged_(acknowledged) {}
  ~KvmLevelIrqfd() override {
    router_.Forget(this);
    if (!connected_) return;
    const absl::Status status = vm_.DeassignIrqfd(trigger_, gsi_);
    LOG_IF(ERROR, !status.ok()) << "interrupt " << gsi_ << ": " << status;
  }
  absl::Status Connect() {
    KVMLET_RETURN_IF_ERROR(vm_.AssignIrqfd(trigger_, gsi_, acknowledged_));
    connected_ = true;
    return absl::OkStatus();
  }

 private:
  const KvmVm& vm_;
  IrqRouter& router_;
  const uint32_t gsi_;
  const int trigger_;
  const int acknowledged_;
  bool connected_ = false;
};

class KvmMsiVector : public MsiVector {
 public:
  KvmMsiVector(const KvmVm& vm, IrqRouter& router, uint32_t gsi, EventFd event)
      : vm_(vm), router_(router), gsi_(gsi), event_(std::move(event)) {}
  ~KvmMsiVector() override {
    Mask().IgnoreError();
    router_.Release(gsi_);
  }

  int event_fd() const override { return event_.get(); }
  void Trigger() override { event_.Signal(); }

  absl::Status Route(const MsiMessage& message) override {
    router_.SetRoute(gsi_, message);
    return absl::OkStatus();
  }
  absl::Status Unmask() override {
    if (connected_) return absl::OkStatus();
    KVMLET_RETURN_IF_ERROR(vm_.AssignIrqfd(event_.get(), gsi_));
    connected_ = true;
    return absl::OkStatus();
  }
  absl::Status Mask() override {
    if (!connected_) return absl::OkStatus();
    connected_ = false;
    return vm_.DeassignIrqfd(event_.get(), gsi_);
  }
  bool Pending() const override { return !connected_ && event_.Signalled(); }
  void ClearPending() override {
    if (!connected_) event_.Consume();
  }

 private:
  const KvmVm& vm_;
  IrqRouter& router_;
  const uint32_t gsi_;
  EventFd event_;
  bool connected_ = false;
};

absl::StatusOr<std::unique_ptr<IrqLine>> IrqRouter::CreateLine(uint32_t pin) {
  return std::unique_ptr<IrqLine>(
      std::make_unique<KvmIrqLine>(vm_, options_.irq_line_base + pin));
}

absl::StatusOr<std::unique_ptr<LevelIrqfd>> IrqRouter::ConnectLevel(
    uint32_t pin, int trigger, int acknowledged) {
  auto irqfd =
      std::make_unique<KvmLevelIrqfd>(vm_, *this, pin, trigger, acknowledged);
  {
    const std::lock_guard lock(mutex_);
    if (!complete_) waiting_.push_back(irqfd.get());
    if (!complete_) return irqfd;
  }
  KVMLET_RETURN_IF_ERROR(irqfd->Connect());
  return irqfd;
}

absl::Status IrqRouter::Complete() {
  const std::lock_guard lock(mutex_);
  complete_ = true;
  for (KvmLevelIrqfd* const irqfd : waiting_) {
    KVMLET_RETURN_IF_ERROR(irqfd->Connect());
  }
  waiting_.clear();
  return absl::OkStatus();
}

void IrqRouter::Forget(const KvmLevelIrqfd* irqfd) {
  const std::lock_guard lock(mutex_);
  std::erase(waiting_, irqfd);
}

absl::StatusOr<std::unique_ptr<MsiVector>> IrqRouter::CreateMsi() {
  KVMLET_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  uint32_t gsi = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!free_gsis_.empty()) {
      gsi = free_gsis_.back();
      free_gsis_.pop_back();
    } else if (options_.first_msi_gsi + used_gsis_ < options_.gsi_limit) {
      gsi = options_.first_msi_gsi + used_gsis_++;
    } else {
      return absl::ResourceExhaustedError(
          absl::StrCat("KVM has only ", options_.gsi_limit,
                       " interrupt routes: use fewer devices or queues"));
    }
  }
  return std::unique_ptr<MsiVector>(
      std::make_unique<KvmMsiVector>(vm_, *this, gsi, std::move(event)));
}

void IrqRouter::SetRoute(uint32_t gsi, const MsiMessage& message) {
  const std::lock_guard lock(mutex_);
  const auto [it, added] = routes_.try_emplace(gsi, message);
  if (!added && it->second == message) return;
  it->second = message;
  dirty_ = true;
}

void IrqRouter::Release(uint32_t gsi) {
  const std::lock_guard lock(mutex_);
  free_gsis_.push_back(gsi);
  if (routes_.erase(gsi) > 0) dirty_ = true;
}

std::optional<kvm_irq_routing_entry> IrqRouter::MakeRoute(
    const MsiMessage& message) const {
  if (options_.make_route) return options_.make_route(message);
  kvm_irq_routing_entry entry{};
  entry.type = KVM_IRQ_ROUTING_MSI;
  entry.u.msi.address_lo = static_cast<uint32_t>(message.address);
  entry.u.msi.address_hi = static_cast<uint32_t>(message.address >> 32);
  entry.u.msi.data = message.data;
  if (options_.msi_device_id) {
    entry.flags = KVM_MSI_VALID_DEVID;
    entry.u.msi.devid = message.device_id;
  }
  return entry;
}

absl::Status IrqRouter::Commit() {
  const std::lock_guard lock(mutex_);
  if (!dirty_) return absl::OkStatus();
  IrqRoutes table(options_.pins.size() + routes_.size());
  for (const kvm_irq_routing_entry& pin : options_.pins) table.Add(pin);
  for (const auto& [gsi, message] : routes_) {
    std::optional<kvm_irq_routing_entry> entry = MakeRoute(message);
    if (!entry) continue;
    entry->gsi = gsi;
    table.Add(*entry);
  }
  KVMLET_RETURN_IF_ERROR(vm_.SetGsiRouting(table));
  dirty_ = false;
  return absl::OkStatus();
}

}  // namespace kvmlet
