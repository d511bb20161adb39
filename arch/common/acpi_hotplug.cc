// SPDX-License-Identifier: Apache-2.0
#include "arch/common/acpi_hotplug.h"

#include <string>

#include "absl/strings/str_format.h"
#include "devices/platform/acpi_ged.h"
#include "devices/platform/pci_hotplug.h"

namespace kvmlet::arch {
namespace {

using aml::And;
using aml::If;
using aml::Int;
using aml::Local;
using aml::Notify;
using aml::Ref;
using aml::Store;
using aml::Terms;

constexpr unsigned kSlots = 32;

// Table 5-166 "Device Object Notification Types".
constexpr uint8_t kBusCheck = 0;
constexpr uint8_t kDeviceCheck = 1;
constexpr uint8_t kEjectRequest = 3;

std::string SlotName(unsigned slot) { return absl::StrFormat("S%02X", slot); }

bool Has(uint32_t slots, unsigned slot) { return (slots >> slot & 1) != 0; }

// The local variable has a bit for each slot.
void AppendNotices(Terms& out, uint32_t slots, uint8_t local, uint8_t notice) {
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    if (!Has(slots, slot)) continue;
    out.push_back(
        If(And(Local(local), Int(uint64_t{1} << slot)),
           {Notify(Ref("\\_SB.PCI0." + SlotName(slot)), Int(notice))}));
  }
}

}  // namespace

Terms DescribePciSlots(const AcpiPciHotplug& hotplug) {
  static_assert(PciHotplug::kAsked == 4 && PciHotplug::kEject == 8);
  Terms body = {aml::OperationRegion("HREG", aml::RegionSpace::kSystemMemory,
                                     hotplug.registers.base, PciHotplug::kSize),
                aml::Field("HREG", aml::FieldAccess::kDWord,
                           {{"HPLG", 32}, {"HASK", 32}, {"HEJC", 32}})};
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    if (!Has(hotplug.slots, slot)) continue;
    body.push_back(aml::Device(
        SlotName(slot),
        {aml::Name("_ADR", Int(uint64_t{slot} << 16)),
         aml::Name("_SUN", Int(slot)),
         aml::Method("_EJ0", 1, aml::Serialized::kYes,
                     {Store(Int(uint64_t{1} << slot), Ref("HEJC"))})}));
  }
  return body;
}

std::vector<AcpiEventAction> PciHotplugEvents(const AcpiPciHotplug& hotplug) {
  Terms changed = {Store(Ref("\\_SB.PCI0.HPLG"), Local(1)),
                   Store(Ref("\\_SB.PCI0.HASK"), Local(2))};
  AppendNotices(changed, hotplug.slots, 1, kDeviceCheck);
  AppendNotices(changed, hotplug.slots, 2, kEjectRequest);
  return {
      {AcpiGed::kPciSlotEvent, changed},
      {AcpiGed::kPciGoneEvent, {Notify(Ref("\\_SB.PCI0"), Int(kBusCheck))}}};
}

}  // namespace kvmlet::arch
