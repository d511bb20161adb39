// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/acpi.h"

#include <utility>
#include <vector>

#include "arch/arm64/acpi_tables.h"
#include "arch/arm64/layout.h"
#include "arch/common/acpi_dsdt.h"
#include "arch/common/acpi_tables.h"
#include "arch/common/aml_resources.h"
#include "devices/platform/acpi_ged.h"
#include "devices/platform/exit_device.h"
#include "devices/platform/pvpanic.h"
#include "devices/serial/pl011.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

// FADT, 5.2.9.4 "ARM Architecture Boot Flags".
constexpr uint16_t kBootPsci = 1u << 0;
constexpr uint16_t kBootHvc = 1u << 1;

AcpiRegisters InMemory(uint64_t base, uint64_t size) {
  return {AcpiSpace::kMemory, {base, size}};
}

// ARMH0011: a PL011 as the Server Base System Architecture has it.
aml::Term DescribeUart() {
  return aml::Device(
      "UART",
      {aml::Name("_HID", aml::Str("ARMH0011")), aml::Name("_UID", aml::Int(0)),
       aml::Name("_CRS",
                 aml::ResourceTemplate(
                     {aml::Memory32Fixed({kUart, Pl011::kSize}),
                      aml::Interrupt({.gsi = kFirstSpi + kUartSpi})}))});
}

// PNP0C33: an error source without an interrupt of its own has a record.
aml::Term DescribeErrorDevice() {
  return aml::Device("HERR", {aml::Name("_HID", aml::EisaId("PNP0C33")),
                              aml::Name("_UID", aml::Int(0))});
}

AcpiEventAction ErrorEvent() {
  constexpr uint8_t kNotifyHardwareError = 0x80;
  return {
      AcpiGed::kHardwareErrorEvent,
      {aml::Notify(aml::Ref("\\_SB.HERR"), aml::Int(kNotifyHardwareError))}};
}

Bytes BuildArmFadt(const AcpiMachine& acpi, Gpa dsdt) {
  const Gpa registers{acpi.events.registers.base};
  Fadt fadt;
  fadt.dsdt = dsdt;
  fadt.sleep_control = registers + AcpiGed::kSleepControl;
  fadt.sleep_status = registers + AcpiGed::kSleepStatus;
  fadt.reset = registers + AcpiGed::kReset;
  fadt.reset_value = AcpiGed::kResetValue;
  fadt.arm_boot_flags = kBootPsci | kBootHvc;
  return BuildFadt(fadt);
}

}  // namespace

AcpiMachine DescribeAcpi(const FdtMachine& machine) {
  AcpiMachine acpi;
  for (uint32_t i = 0; i < machine.cpus.size(); ++i) {
    acpi.cpus.push_back(
        {.uid = i, .hardware_id = machine.cpus[i].mpidr & kMpidrAffinity});
  }
  acpi.pci = {.ecam = ToAcpi(machine.ecam),
              .io = {},
              .mmio32 = ToAcpi(machine.mmio32),
              .mmio64 = ToAcpi(machine.mmio64),
              .intx_gsi = kFirstSpi + kPciIntxSpi,
              .say_coherent = true};
  acpi.events = {.registers = {kAcpiGed, kAcpiGedSize},
                 .interrupt = {.gsi = kFirstSpi + kAcpiGedSpi}};
  acpi.exit_device = InMemory(kExit, ExitDevice::kSize);
  acpi.pvpanic = InMemory(kPvpanic, Pvpanic::kSize);
  return acpi;
}

absl::StatusOr<Bytes> BuildAcpi(const FdtMachine& machine,
                                const AcpiMachine& acpi, Bytes hest, Gpa base,
                                uint64_t limit) {
  KVMLET_RETURN_IF_ERROR(acpi.Validate());
  AcpiPlacer placer(base, limit);
  KVMLET_ASSIGN_OR_RETURN(
      const Gpa dsdt,
      placer.Place(BuildDsdt(acpi, {DescribeUart(), DescribeErrorDevice()},
                             {ErrorEvent()})));
  std::vector<Bytes> tables = {BuildArmFadt(acpi, dsdt),
                               BuildArmMadt(machine),
                               BuildGtdt(),
                               BuildPptt(machine),
                               BuildSpcr(),
                               BuildMcfg(acpi.pci.ecam)};
  tables.push_back(std::move(hest));
  if (machine.gic == GicKind::kV3Its) tables.push_back(BuildIort());
  if (!acpi.nodes.empty()) {
    tables.push_back(BuildArmSrat(machine, acpi));
    tables.push_back(BuildSlit(acpi.nodes));
  }
  std::vector<Gpa> places;
  for (const Bytes& table : tables) {
    KVMLET_ASSIGN_OR_RETURN(places.emplace_back(), placer.Place(table));
  }
  return std::move(placer).Finish(places);
}

}  // namespace kvmlet::arch::arm64
