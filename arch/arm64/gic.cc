// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/gic.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "arch/arm64/layout.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint32_t kMaxV2Vcpus = 8;
constexpr uint32_t kInterrupts = kFirstSpi + kSpis;

absl::Status SetAddress(const KvmDevice& device, const char* what,
                        uint64_t type, uint64_t address) {
  return device.Set(what, KVM_DEV_ARM_VGIC_GRP_ADDR, type, address);
}

absl::Status SetInterruptCount(const KvmDevice& device) {
  return device.Set("the GIC's number of interrupts",
                    KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, kInterrupts);
}

// An MSI to the v2m frame is the shared interrupt that its data names; any
// other number is a message to nobody.
std::optional<kvm_irq_routing_entry> RouteToSpi(const MsiMessage& message) {
  const uint32_t first = kFirstSpi + kV2mSpi;
  if (message.data < first || message.data - first >= kV2mSpis) return {};
  kvm_irq_routing_entry entry{};
  entry.type = KVM_IRQ_ROUTING_IRQCHIP;
  entry.u.irqchip.irqchip = 0;
  entry.u.irqchip.pin = message.data - kFirstSpi;
  return entry;
}

// The root bus' pins by their numbers, for interrupts that KVM carries itself.
std::vector<kvm_irq_routing_entry> PciPins() {
  std::vector<kvm_irq_routing_entry> pins(kPciPins);
  for (uint32_t i = 0; i < kPciPins; ++i) {
    pins[i].gsi = kPciIntxSpi + i;
    pins[i].type = KVM_IRQ_ROUTING_IRQCHIP;
    pins[i].u.irqchip.irqchip = 0;
    pins[i].u.irqchip.pin = kPciIntxSpi + i;
  }
  return pins;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Gic>> Gic::Create(const KvmVm& vm,
                                                 uint32_t vcpus) {
  if (KvmDevice::Supported(vm, KVM_DEV_TYPE_ARM_VGIC_V3)) {
    if (vcpus > kMaxVcpus) {
      return HostLacks(absl::StrCat("--cpus: the machine has room for ",
                                    kMaxVcpus, " vCPUs"));
    }
    return CreateV3(vm, KvmDevice::Supported(vm, KVM_DEV_TYPE_ARM_VGIC_ITS));
  }
  if (!KvmDevice::Supported(vm, KVM_DEV_TYPE_ARM_VGIC_V2)) {
    return HostLacks(
        "this host's KVM emulates no interrupt controller (GICv3 or GICv2): "
        "boot the host with its GIC enabled for virtualization");
  }
  if (vcpus > kMaxV2Vcpus) {
    return HostLacks(absl::StrCat(
        "--cpus: this host has only a GICv2, which serves at most ",
        kMaxV2Vcpus, " vCPUs"));
  }
  return CreateV2(vm);
}

absl::StatusOr<std::unique_ptr<Gic>> Gic::CreateV3(const KvmVm& vm,
                                                   bool has_its) {
  KVMLET_ASSIGN_OR_RETURN(
      KvmDevice device,
      KvmDevice::Create(vm, KVM_DEV_TYPE_ARM_VGIC_V3, "KVM's GICv3"));
  KVMLET_RETURN_IF_ERROR(SetAddress(device, "the GIC's distributor",
                                    KVM_VGIC_V3_ADDR_TYPE_DIST,
                                    kGicDistributor));
  KVMLET_RETURN_IF_ERROR(SetAddress(device, "the GIC's redistributors",
                                    KVM_VGIC_V3_ADDR_TYPE_REDIST,
                                    kGicRedistributors));
  KVMLET_RETURN_IF_ERROR(SetInterruptCount(device));
  const GicKind kind = has_its ? GicKind::kV3Its : GicKind::kV3V2m;
  std::unique_ptr<Gic> gic(new Gic(kind, std::move(device)));
  if (!has_its) return gic;
  KVMLET_ASSIGN_OR_RETURN(
      gic->its_,
      KvmDevice::Create(vm, KVM_DEV_TYPE_ARM_VGIC_ITS, "KVM's GIC ITS"));
  KVMLET_RETURN_IF_ERROR(
      SetAddress(*gic->its_, "the GIC's ITS", KVM_VGIC_ITS_ADDR_TYPE, kGicIts));
  return gic;
}

absl::StatusOr<std::unique_ptr<Gic>> Gic::CreateV2(const KvmVm& vm) {
  KVMLET_ASSIGN_OR_RETURN(
      KvmDevice device,
      KvmDevice::Create(vm, KVM_DEV_TYPE_ARM_VGIC_V2, "KVM's GICv2"));
  KVMLET_RETURN_IF_ERROR(SetAddress(device, "the GIC's distributor",
                                    KVM_VGIC_V2_ADDR_TYPE_DIST,
                                    kGicDistributor));
  KVMLET_RETURN_IF_ERROR(SetAddress(device, "the GIC's CPU interface",
                                    KVM_VGIC_V2_ADDR_TYPE_CPU,
                                    kGicCpuInterface));
  KVMLET_RETURN_IF_ERROR(SetInterruptCount(device));
  return std::unique_ptr<Gic>(new Gic(GicKind::kV2, std::move(device)));
}

absl::Status Gic::Finish() const {
  KVMLET_RETURN_IF_ERROR(device_.Do("the GIC's start",
                                    KVM_DEV_ARM_VGIC_GRP_CTRL,
                                    KVM_DEV_ARM_VGIC_CTRL_INIT));
  if (!its_) return absl::OkStatus();
  return its_->Do("the ITS' start", KVM_DEV_ARM_VGIC_GRP_CTRL,
                  KVM_DEV_ARM_VGIC_CTRL_INIT);
}

IrqRouter::Options Gic::RouterOptions(uint32_t gsi_limit) const {
  IrqRouter::Options options{
      .pins = PciPins(),
      .first_msi_gsi = kPciIntxSpi + kPciPins,
      .gsi_limit = gsi_limit,
      .irq_line_base =
          KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | kFirstSpi,
      .complete = false,
      .msi_device_id = kind_ == GicKind::kV3Its,
      .make_route = nullptr};
  if (kind_ != GicKind::kV3Its) options.make_route = RouteToSpi;
  return options;
}

}  // namespace kvmlet::arch::arm64
