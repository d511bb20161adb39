// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/irqchip.h"

#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/layout.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

kvm_irq_routing_entry Route(uint32_t gsi, uint32_t chip, uint32_t pin) {
  kvm_irq_routing_entry entry{};
  entry.gsi = gsi;
  entry.type = KVM_IRQ_ROUTING_IRQCHIP;
  entry.u.irqchip.irqchip = chip;
  entry.u.irqchip.pin = pin;
  return entry;
}

kvm_irqchip PicAtPowerOn(bool slave) {
  kvm_irqchip chip{};
  chip.chip_id = slave ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER;
  // Which pins may be level triggered at all, as KVM creates them.
  chip.chip.pic.elcr_mask = slave ? 0xde : 0xf8;
  return chip;
}

kvm_irqchip IoApicAtPowerOn() {
  kvm_irqchip chip{};
  chip.chip_id = KVM_IRQCHIP_IOAPIC;
  chip.chip.ioapic.base_address = kIoApic;
  for (auto& entry : chip.chip.ioapic.redirtbl) entry.fields.mask = 1;
  return chip;
}

}  // namespace

absl::Status CreateIrqchip(const KvmVm& vm) {
  KVMLET_RETURN_IF_ERROR(vm.fd().Call(kCreateIrqchip).status());
  kvm_pit_config pit{};
  pit.flags = KVM_PIT_SPEAKER_DUMMY;
  return vm.fd().Set(kCreatePit2, pit);
}

absl::Status ResetIrqchip(const KvmVm& vm) {
  KVMLET_RETURN_IF_ERROR(vm.fd().Set(kSetIrqchip, PicAtPowerOn(false)));
  KVMLET_RETURN_IF_ERROR(vm.fd().Set(kSetIrqchip, PicAtPowerOn(true)));
  KVMLET_RETURN_IF_ERROR(vm.fd().Set(kSetIrqchip, IoApicAtPowerOn()));
  kvm_pit_state2 pit{};
  for (size_t i = 0; i < 3; ++i) {
    pit.channels[i].mode = 0xff;  // not programmed yet
    pit.channels[i].gate = i != 2;
  }
  return vm.fd().Set(kSetPit2, pit);
}

std::vector<kvm_irq_routing_entry> IrqchipRoutes() {
  std::vector<kvm_irq_routing_entry> routes;
  for (uint32_t gsi = 0; gsi < kIoApicPins; ++gsi) {
    if (gsi < 8) routes.push_back(Route(gsi, KVM_IRQCHIP_PIC_MASTER, gsi));
    if (gsi >= 8 && gsi < 16) {
      routes.push_back(Route(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - 8));
    }
    if (gsi == 0) {
      routes.push_back(Route(0, KVM_IRQCHIP_IOAPIC, 2));
    } else if (gsi != 2) {
      routes.push_back(Route(gsi, KVM_IRQCHIP_IOAPIC, gsi));
    }
  }
  return routes;
}

}  // namespace kvmlet::arch::x86_64
