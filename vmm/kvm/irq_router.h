// SPDX-License-Identifier: Apache-2.0
// KVM's global system interrupts: the pins of the interrupt controller and one
// GSI for each MSI vector. Routes are collected and written as one table by
// Commit; vectors are connected to the guest by irqfds.
//
// Threads: all members may be called from any thread.
// Specification: Documentation/virt/kvm/api.rst, KVM_SET_GSI_ROUTING,
// KVM_IRQFD.
#ifndef KVMLET_VMM_KVM_IRQ_ROUTER_H_
#define KVMLET_VMM_KVM_IRQ_ROUTER_H_

#include <linux/kvm.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "vmm/bus/interrupts.h"
#include "vmm/kvm/kvm_vm.h"

namespace kvmlet {

class KvmLevelIrqfd;

class IrqRouter : public InterruptRouter {
 public:
  struct Options {
    std::vector<kvm_irq_routing_entry> pins;  // the controller's own routes
    uint32_t first_msi_gsi = 0;
    uint32_t gsi_limit = 1024;  // KVM_CAP_IRQ_ROUTING
    // How KVM_IRQ_LINE numbers pin 0 (arm64 puts the type into high bits).
    uint32_t irq_line_base = 0;
    // False when KVM refuses irqfds until the controller has all its vCPUs;
    // Complete() says when.
    bool complete = true;
    bool msi_device_id = false;  // KVM_CAP_MSI_DEVID: the ITS needs it
    // How a message reaches the controller when not as an MSI; the gsi is
    // filled in. Nothing: the message reaches nobody.
    std::function<std::optional<kvm_irq_routing_entry>(const MsiMessage&)>
        make_route{};
  };
  IrqRouter(const KvmVm& vm, Options options)
      : vm_(vm), options_(std::move(options)), complete_(options_.complete) {}

  absl::StatusOr<std::unique_ptr<IrqLine>> CreateLine(uint32_t pin) override;
  absl::StatusOr<std::unique_ptr<MsiVector>> CreateMsi() override;
  absl::StatusOr<std::unique_ptr<LevelIrqfd>> ConnectLevel(
      uint32_t pin, int trigger, int acknowledged) override;
  absl::Status Commit() override;
  // The interrupt controller is whole: connects what came before.
  absl::Status Complete();

 private:
  friend class KvmMsiVector;
  friend class KvmLevelIrqfd;
  void Forget(const KvmLevelIrqfd* irqfd);
  void SetRoute(uint32_t gsi, const MsiMessage& message);
  std::optional<kvm_irq_routing_entry> MakeRoute(
      const MsiMessage& message) const;
  void Release(uint32_t gsi);

  const KvmVm& vm_;
  const Options options_;
  std::mutex mutex_;
  std::map<uint32_t, MsiMessage> routes_;  // guarded by mutex_
  std::vector<uint32_t> free_gsis_;        // guarded by mutex_
  uint32_t used_gsis_ = 0;                 // guarded by mutex_
  bool dirty_ = true;                      // guarded by mutex_
  bool complete_;                          // guarded by mutex_
  std::vector<KvmLevelIrqfd*> waiting_;    // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_IRQ_ROUTER_H_
