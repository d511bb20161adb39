// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "arch/x86_64/irqchip.h"
#include "arch/x86_64/layout.h"

namespace kvmlet::arch::x86_64 {
namespace {

// GSI -> pin, of one chip.
std::map<uint32_t, uint32_t> PinsOf(uint32_t chip) {
  std::map<uint32_t, uint32_t> pins;
  for (const kvm_irq_routing_entry& route : IrqchipRoutes()) {
    EXPECT_EQ(route.type, static_cast<uint32_t>(KVM_IRQ_ROUTING_IRQCHIP));
    if (route.u.irqchip.irqchip != chip) continue;
    EXPECT_TRUE(pins.emplace(route.gsi, route.u.irqchip.pin).second);
  }
  return pins;
}

TEST(IrqchipRoutesTest, TheTimerArrivesAtPinTwo) {
  const auto pins = PinsOf(KVM_IRQCHIP_IOAPIC);
  EXPECT_EQ(pins.at(0), 2u);
  EXPECT_EQ(pins.count(2), 0u);
}

TEST(IrqchipRoutesTest, EveryOtherGsiIsItsPin) {
  const auto pins = PinsOf(KVM_IRQCHIP_IOAPIC);
  EXPECT_EQ(pins.size(), kIoApicPins - 1);
  for (const auto& [gsi, pin] : pins) {
    EXPECT_EQ(pin, gsi == 0 ? 2 : gsi);
  }
}

TEST(IrqchipRoutesTest, TheFirstSixteenReachThePics) {
  const auto master = PinsOf(KVM_IRQCHIP_PIC_MASTER);
  const auto slave = PinsOf(KVM_IRQCHIP_PIC_SLAVE);
  ASSERT_EQ(master.size(), 8u);
  ASSERT_EQ(slave.size(), 8u);
  EXPECT_EQ(master.at(4), 4u);  // COM1
  EXPECT_EQ(slave.at(8), 0u);
  EXPECT_EQ(slave.at(15), 7u);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
