// SPDX-License-Identifier: Apache-2.0
#include "arch/common/acpi_dsdt.h"

#include <glog/logging.h>

#include <string>

#include "absl/strings/str_format.h"
#include "arch/common/acpi_hotplug.h"
#include "arch/common/acpi_tables.h"
#include "arch/common/aml_resources.h"
#include "devices/platform/acpi_ged.h"

namespace kvmlet::arch {
namespace {

using aml::And;
using aml::Arg;
using aml::Device;
using aml::EisaId;
using aml::Equal;
using aml::Int;
using aml::Local;
using aml::Method;
using aml::Name;
using aml::NotEqual;
using aml::Or;
using aml::Package;
using aml::Ref;
using aml::Resource;
using aml::ResourceTemplate;
using aml::Return;
using aml::Serialized;
using aml::Store;
using aml::Str;
using aml::Term;
using aml::Terms;
using aml::Value;
using aml::Values;

constexpr uint8_t kDsdtRevision = 2;
constexpr uint64_t k4GiB = uint64_t{1} << 32;
constexpr uint64_t kBusEcam = uint64_t{1} << 20;
constexpr unsigned kPciSlots = 32;
constexpr unsigned kPciPins = 4;
// Present, enabled, shown, working (6.3.7).
constexpr uint8_t kStatusPresent = 0x0f;
constexpr uint8_t kNotifyButtonPressed = 0x80;

// PCI Firmware Specification 3.2, 4.5: the control fields of _OSC that this
// bridge hands over. No firmware lives beside the guest's kernel, so whatever
// a device has is the kernel's to drive: hot-plug (native and SHPC), PME, AER,
// the PCIe capability, LTR, DPC.
constexpr uint64_t kOscGranted = 0xbf;
constexpr uint64_t kOscUnknownUuid = 1u << 2;
constexpr uint64_t kOscUnknownRevision = 1u << 3;
constexpr uint64_t kOscMasked = 1u << 4;
constexpr std::string_view kOscPciUuid = "33db4d5b-1ff7-401c-9657-7441c03dd766";

Resource RegisterResource(const AcpiRegisters& registers) {
  if (registers.space == AcpiSpace::kIo) {
    return aml::Io(static_cast<uint16_t>(registers.range.base),
                   static_cast<uint8_t>(registers.range.size));
  }
  return aml::Memory32Fixed(registers.range);
}

Term PciResources(const AcpiPci& pci) {
  std::vector<Resource> resources = {
      aml::BusWindow(0, static_cast<uint16_t>(pci.ecam.size / kBusEcam - 1))};
  if (pci.config_port) resources.push_back(aml::Io(*pci.config_port, 8));
  if (pci.io.size != 0) resources.push_back(aml::IoWindow(pci.io));
  resources.push_back(aml::Memory32Window(pci.mmio32));
  if (pci.mmio64.size != 0) {
    resources.push_back(aml::Memory64Window(pci.mmio64));
  }
  return Name("_CRS", ResourceTemplate(resources));
}

// 6.2.13 "_PRT": every pin of every slot, wired straight to an interrupt.
Term PciInterrupts(uint32_t first_gsi) {
  constexpr uint64_t kAnyFunction = 0xffff;
  Values routes;
  for (unsigned slot = 0; slot < kPciSlots; ++slot) {
    for (unsigned pin = 0; pin < kPciPins; ++pin) {
      const uint32_t gsi = first_gsi + (slot + pin) % kPciPins;
      routes.push_back(Package({Int(uint64_t{slot} << 16 | kAnyFunction),
                                Int(pin), Int(0), Int(gsi)}));
    }
  }
  return Name("_PRT", Package(routes));
}

// 6.2.11 "_OSC": Arg0 UUID, Arg1 revision, Arg2 count, Arg3 capabilities.
Term PciOsc() {
  return Method(
      "_OSC", 4, Serialized::kYes,
      {aml::CreateDWordField(Arg(3), 0, "CDW1"),
       aml::If(Equal(Arg(0), aml::Uuid(kOscPciUuid)),
               {aml::CreateDWordField(Arg(3), 8, "CDW3"),
                Store(And(Ref("CDW3"), Int(kOscGranted)), Local(0)),
                aml::If(NotEqual(Arg(1), Int(1)),
                        {Store(Or(Ref("CDW1"), Int(kOscUnknownRevision)),
                               Ref("CDW1"))}),
                aml::If(NotEqual(Ref("CDW3"), Local(0)),
                        {Store(Or(Ref("CDW1"), Int(kOscMasked)), Ref("CDW1"))}),
                Store(Local(0), Ref("CDW3"))}),
       aml::Else({Store(Or(Ref("CDW1"), Int(kOscUnknownUuid)), Ref("CDW1"))}),
       Return(Arg(3))});
}

Term SimpleDevice(std::string_view name, const Value& hid,
                  const AcpiRegisters& registers) {
  return Device(
      name, {Name("_HID", hid), Name("_UID", Int(0)),
             Name("_STA", Int(kStatusPresent)),
             Name("_CRS", ResourceTemplate({RegisterResource(registers)}))});
}

std::vector<AcpiRange> ReservedRanges(const AcpiMachine& machine) {
  std::vector<AcpiRange> ranges = machine.reserved;
  ranges.push_back(machine.pci.ecam);
  ranges.push_back(machine.events.registers);
  if (machine.pci.hotplug) ranges.push_back(machine.pci.hotplug->registers);
  return ranges;
}

void AppendTerms(Terms& out, const Terms& more) {
  out.insert(out.end(), more.begin(), more.end());
}

}  // namespace

Term DescribePci(const AcpiMachine& machine) {
  const AcpiPci& pci = machine.pci;
  Terms body = {Name("_HID", EisaId("PNP0A08")),
                Name("_CID", EisaId("PNP0A03")),
                Name("_SEG", Int(0)),
                Name("_BBN", Int(0)),
                Name("_UID", Int(0)),
                PciResources(pci),
                PciInterrupts(pci.intx_gsi),
                PciOsc()};
  if (pci.say_coherent) body.push_back(Name("_CCA", Int(1)));
  if (pci.hotplug) AppendTerms(body, DescribePciSlots(*pci.hotplug));
  // Linux warns of a root bus without a node as soon as there are nodes.
  if (!machine.nodes.empty()) body.push_back(Name("_PXM", Int(pci.node)));
  return Device("PCI0", body);
}

// PNP0C02 "motherboard resources": what makes Linux trust the MCFG.
Term DescribeReserved(std::span<const AcpiRange> ranges) {
  std::vector<Resource> resources;
  for (const AcpiRange& range : ranges) {
    const bool low = range.base < k4GiB && range.size < k4GiB - range.base;
    resources.push_back(low ? aml::Memory32Fixed(range)
                            : aml::QWordMemory(range));
  }
  return Device("MBRD", {Name("_HID", EisaId("PNP0C02")), Name("_UID", Int(0)),
                         Name("_CRS", ResourceTemplate(resources))});
}

// 5.6.9 "Interrupt-signaled ACPI events". The device clears its selector, and
// with it the interrupt, when it is read.
Terms DescribeEvents(const AcpiEvents& events,
                     const std::vector<AcpiEventAction>& actions) {
  Terms handler = {Store(Ref("ESEL"), Local(0))};
  for (const AcpiEventAction& event : actions) {
    handler.push_back(aml::If(And(Local(0), Int(event.bit)), event.actions));
  }
  return {Device(
      "GED",
      {Name("_HID", Str("ACPI0013")), Name("_UID", Int(0)),
       Name("_CRS", ResourceTemplate({aml::Interrupt(events.interrupt)})),
       aml::OperationRegion("EREG", aml::RegionSpace::kSystemMemory,
                            events.registers.base + AcpiGed::kEventSelector,
                            sizeof(uint32_t)),
       aml::Field("EREG", aml::FieldAccess::kDWord, {{"ESEL", 32}}),
       Method("_EVT", 1, Serialized::kYes, handler)})};
}

Term DescribePowerButton() {
  return Device("PWRB",
                {Name("_HID", EisaId("PNP0C0C")), Name("_UID", Int(0))});
}

Term DescribeSerial(const AcpiSerial& serial, size_t index) {
  CHECK_LT(index, 9u);
  return Device(
      absl::StrFormat("COM%d", index + 1),
      {Name("_HID", EisaId("PNP0501")), Name("_UID", Int(serial.uid)),
       Name("_CRS", ResourceTemplate({RegisterResource(serial.registers),
                                      aml::Interrupt(serial.interrupt)}))});
}

Terms DescribeCpus(std::span<const AcpiCpu> cpus) {
  Terms out;
  for (size_t i = 0; i < cpus.size(); ++i) {
    out.push_back(Device(
        absl::StrFormat("C%03X", i),
        {Name("_HID", Str("ACPI0007")), Name("_UID", Int(cpus[i].uid))}));
  }
  return out;
}

Bytes BuildDsdt(const AcpiMachine& machine, const Terms& more,
                const std::vector<AcpiEventAction>& more_events) {
  std::vector<AcpiEventAction> events = {
      {AcpiGed::kPowerButtonEvent,
       {aml::Notify(Ref("\\_SB.PWRB"), Int(kNotifyButtonPressed))}}};
  events.insert(events.end(), more_events.begin(), more_events.end());
  if (machine.pci.hotplug) {
    const auto hotplug = PciHotplugEvents(*machine.pci.hotplug);
    events.insert(events.end(), hotplug.begin(), hotplug.end());
  }

  Terms devices = {DescribePowerButton(), DescribePci(machine),
                   DescribeReserved(ReservedRanges(machine))};
  for (size_t i = 0; i < machine.serials.size(); ++i) {
    devices.push_back(DescribeSerial(machine.serials[i], i));
  }
  if (machine.rtc) {
    devices.push_back(SimpleDevice("RTC", EisaId("PNP0B00"), *machine.rtc));
  }
  if (machine.exit_device) {
    devices.push_back(
        SimpleDevice("EXIT", Str("KVML0001"), *machine.exit_device));
  }
  if (machine.pvpanic) {
    devices.push_back(SimpleDevice("PEVT", Str("QEMU0001"), *machine.pvpanic));
  }
  AppendTerms(devices, DescribeEvents(machine.events, events));
  AppendTerms(devices, more);
  AppendTerms(devices, DescribeCpus(machine.cpus));

  // 7.4.2: only the first element counts on hardware-reduced machines.
  const Term soft_off = Name(
      "\\_S5", Package({Int(AcpiGed::kSleepTypeS5), Int(0), Int(0), Int(0)}));
  return BuildTable("DSDT", kDsdtRevision,
                    aml::Concatenate({soft_off, aml::Scope("\\_SB", devices)}));
}

}  // namespace kvmlet::arch
