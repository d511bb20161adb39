// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/acpi.h"

#include <array>
#include <limits>
#include <vector>

#include "absl/strings/str_format.h"
#include "arch/common/acpi_dsdt.h"
#include "arch/common/acpi_tables.h"
#include "arch/x86_64/layout.h"
#include "devices/platform/acpi_ged.h"
#include "devices/platform/cmos_rtc.h"
#include "devices/platform/exit_device.h"
#include "devices/platform/pvpanic.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kUartPorts = 8;

// --- MADT, 5.2.12 ------------------------------------------------------------

// APIC ids and processor uids from here on need the x2APIC structures: 255 is
// the broadcast.
constexpr uint32_t kFirstWideId = 255;
constexpr uint32_t kAllProcessors = 0xffffffff;
constexpr uint32_t kApicEnabled = 1;
constexpr uint8_t kNmiPin = 1;  // LINT1
// MPS INTI flags: polarity in bits 0-1, trigger mode in bits 2-3.
constexpr uint16_t kAsTheBusDoes = 0;
constexpr uint16_t kLevelActiveHigh = 0x0d;

struct [[gnu::packed]] LocalApic {
  uint8_t type = 0;
  uint8_t length = 8;
  uint8_t uid = 0;
  uint8_t apic_id = 0;
  uint32_t flags = kApicEnabled;
};
static_assert(sizeof(LocalApic) == 8);

struct [[gnu::packed]] IoApic {
  uint8_t type = 1;
  uint8_t length = 12;
  uint8_t id = 0;
  uint8_t reserved = 0;
  uint32_t address = static_cast<uint32_t>(kIoApic);
  uint32_t gsi_base = 0;
};
static_assert(sizeof(IoApic) == 12);

struct [[gnu::packed]] InterruptOverride {
  uint8_t type = 2;
  uint8_t length = 10;
  uint8_t bus = 0;  // ISA
  uint8_t source = 0;
  uint32_t gsi = 0;
  uint16_t flags = kAsTheBusDoes;
};
static_assert(sizeof(InterruptOverride) == 10);

struct [[gnu::packed]] LocalApicNmi {
  uint8_t type = 4;
  uint8_t length = 6;
  uint8_t uid = kAllProcessors & 0xff;
  uint16_t flags = kAsTheBusDoes;
  uint8_t pin = kNmiPin;
};
static_assert(sizeof(LocalApicNmi) == 6);

struct [[gnu::packed]] LocalX2Apic {
  uint8_t type = 9;
  uint8_t length = 16;
  uint16_t reserved = 0;
  uint32_t apic_id = 0;
  uint32_t flags = kApicEnabled;
  uint32_t uid = 0;
};
static_assert(sizeof(LocalX2Apic) == 16);

struct [[gnu::packed]] LocalX2ApicNmi {
  uint8_t type = 10;
  uint8_t length = 12;
  uint16_t flags = kAsTheBusDoes;
  uint32_t uid = kAllProcessors;
  uint8_t pin = kNmiPin;
  uint8_t reserved[3] = {};
};
static_assert(sizeof(LocalX2ApicNmi) == 12);

// --- SRAT, 5.2.16 ------------------------------------------------------------

struct [[gnu::packed]] LocalApicAffinity {
  uint8_t type = 0;
  uint8_t length = 16;
  uint8_t node_low = 0;
  uint8_t apic_id = 0;
  uint32_t flags = kApicEnabled;
  uint8_t local_sapic = 0;
  uint8_t node_high[3] = {};
  uint32_t clock_domain = 0;
};
static_assert(sizeof(LocalApicAffinity) == 16);

struct [[gnu::packed]] LocalX2ApicAffinity {
  uint8_t type = 2;
  uint8_t length = 24;
  uint16_t reserved = 0;
  uint32_t node = 0;
  uint32_t apic_id = 0;
  uint32_t flags = kApicEnabled;
  uint32_t clock_domain = 0;
  uint32_t reserved_20 = 0;
};
static_assert(sizeof(LocalX2ApicAffinity) == 24);

// --- FADT, 5.2.9.3 "IA-PC Boot Architecture Flags" ---------------------------

// The 8042's flag stays clear: only its reset command exists.
constexpr uint16_t kBootLegacyDevices = 1u << 0;
constexpr uint16_t kBootNoVga = 1u << 2;
constexpr uint16_t kBootNoRtc = 1u << 5;

bool IsWide(const AcpiCpu& cpu) {
  return cpu.hardware_id >= kFirstWideId || cpu.uid >= kFirstWideId;
}

Bytes BuildX86Madt(const AcpiMachine& machine) {
  constexpr uint32_t kHasPics = 1;  // KVM's, which a kernel is to mask
  Bytes entries;
  bool wide = false;
  for (const AcpiCpu& cpu : machine.cpus) {
    if (IsWide(cpu)) {
      wide = true;
      AppendObject(
          entries,
          LocalX2Apic{.apic_id = static_cast<uint32_t>(cpu.hardware_id),
                      .uid = cpu.uid});
    } else {
      AppendObject(entries,
                   LocalApic{.uid = static_cast<uint8_t>(cpu.uid),
                             .apic_id = static_cast<uint8_t>(cpu.hardware_id)});
    }
  }
  AppendObject(entries, IoApic{});
  // The PIT's interrupt is on pin 2, as on every PC.
  AppendObject(entries, InterruptOverride{.source = 0, .gsi = 2});
  AppendObject(entries, InterruptOverride{.source = kAcpiGedGsi,
                                          .gsi = kAcpiGedGsi,
                                          .flags = kLevelActiveHigh});
  AppendObject(entries, LocalApicNmi{});
  if (wide) AppendObject(entries, LocalX2ApicNmi{});
  return BuildMadt(static_cast<uint32_t>(kLocalApic), kHasPics, entries);
}

Bytes BuildX86Srat(const AcpiMachine& machine) {
  Bytes entries;
  for (const AcpiCpu& cpu : machine.cpus) {
    const auto apic_id = static_cast<uint32_t>(cpu.hardware_id);
    if (IsWide(cpu)) {
      AppendObject(entries,
                   LocalX2ApicAffinity{.node = cpu.node, .apic_id = apic_id});
    } else {
      // Validate() allows no node that needs the upper bytes.
      AppendObject(entries,
                   LocalApicAffinity{.node_low = static_cast<uint8_t>(cpu.node),
                                     .apic_id = static_cast<uint8_t>(apic_id)});
    }
  }
  return BuildSrat(entries, machine.nodes);
}

Bytes BuildX86Fadt(const AcpiMachine& machine, Gpa dsdt) {
  const Gpa registers{machine.events.registers.base};
  Fadt fadt;
  fadt.dsdt = dsdt;
  fadt.sleep_control = registers + AcpiGed::kSleepControl;
  fadt.sleep_status = registers + AcpiGed::kSleepStatus;
  fadt.reset = registers + AcpiGed::kReset;
  fadt.reset_value = AcpiGed::kResetValue;
  // Hardware-reduced machines have no SCI, but Linux compares every interrupt
  // override with it: zero would make the PIT's override the SCI's.
  fadt.sci_interrupt = static_cast<uint16_t>(machine.events.interrupt.gsi);
  fadt.wbinvd_works = true;
  fadt.x86_boot_flags = kBootNoVga;
  if (!machine.serials.empty()) fadt.x86_boot_flags |= kBootLegacyDevices;
  if (machine.rtc) {
    fadt.century_register = CmosRtc::kCenturyRegister;
  } else {
    fadt.x86_boot_flags |= kBootNoRtc;
  }
  return BuildFadt(fadt);
}

absl::Status CheckX86(const AcpiMachine& machine) {
  KVMLET_RETURN_IF_ERROR(machine.Validate());
  for (const AcpiCpu& cpu : machine.cpus) {
    if (cpu.hardware_id >= std::numeric_limits<uint32_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("ACPI: CPU %d: APIC id 0x%x has more than 32 bits",
                          cpu.uid, cpu.hardware_id));
    }
  }
  return absl::OkStatus();
}

}  // namespace

AcpiMachine FixedAcpiMachine(const AcpiRange& mmio64) {
  const auto ports = [](uint16_t base, uint64_t size) {
    return AcpiRegisters{AcpiSpace::kIo, {base, size}};
  };
  AcpiMachine machine;
  machine.pci = {.ecam = {kEcam, kEcamSize},
                 .io = {kPciIoBase, kPciIoSize},
                 .mmio32 = {kPciMmio32, kPciMmio32Size},
                 .mmio64 = mmio64,
                 .intx_gsi = kPciIntxGsi,
                 .config_port = kPciConfigPort};
  machine.events = {.registers = {kAcpiGed, kAcpiGedSize},
                    .interrupt = {.gsi = kAcpiGedGsi}};
  machine.serials = {{.registers = ports(kCom1Port, kUartPorts),
                      .interrupt = {.gsi = kCom1Gsi, .level = false}}};
  machine.exit_device = ports(kExitPort, ExitDevice::kSize);
  machine.pvpanic = ports(kPvpanicPort, Pvpanic::kSize);
  machine.rtc = ports(kCmosPort, CmosRtc::kSize);
  return machine;
}

absl::StatusOr<AcpiBlob> BuildAcpi(const AcpiMachine& machine, Gpa base,
                                   uint64_t limit) {
  KVMLET_RETURN_IF_ERROR(CheckX86(machine));
  AcpiPlacer placer(base, limit);
  KVMLET_ASSIGN_OR_RETURN(const Gpa dsdt, placer.Place(BuildDsdt(machine)));
  std::vector<Bytes> tables = {BuildX86Fadt(machine, dsdt),
                               BuildX86Madt(machine),
                               BuildMcfg(machine.pci.ecam)};
  if (!machine.nodes.empty()) {
    tables.push_back(BuildX86Srat(machine));
    tables.push_back(BuildSlit(machine.nodes));
  }
  std::vector<Gpa> places;
  for (const Bytes& table : tables) {
    KVMLET_ASSIGN_OR_RETURN(places.emplace_back(), placer.Place(table));
  }
  KVMLET_ASSIGN_OR_RETURN(Bytes bytes, std::move(placer).Finish(places));
  return AcpiBlob{.bytes = std::move(bytes), .rsdp = base};
}

}  // namespace kvmlet::arch::x86_64
