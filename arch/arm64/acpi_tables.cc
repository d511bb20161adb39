// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/acpi_tables.h"

#include <map>
#include <utility>

#include "arch/arm64/layout.h"
#include "arch/common/acpi_tables.h"
#include "devices/platform/gic_v2m.h"
#include "devices/serial/pl011.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint32_t kFirstPpi = 16;
constexpr uint32_t kItsId = 0;
constexpr size_t kTableHeader = 36;

// --- MADT, 5.2.12 ------------------------------------------------------------

struct [[gnu::packed]] GicCpu {
  uint8_t type = 11;
  uint8_t length = 80;
  uint16_t reserved_2 = 0;
  uint32_t interface = 0;
  uint32_t uid = 0;
  uint32_t flags = 1;  // enabled
  uint32_t parking_version = 0;
  uint32_t pmu_gsi = 0;
  uint64_t parked = 0;
  uint64_t registers = 0;  // of a GICv2's CPU interface
  uint64_t virtual_registers = 0;
  uint64_t hypervisor_registers = 0;
  uint32_t maintenance_gsi = 0;
  uint64_t redistributor = 0;  // where there is no structure of its own
  uint64_t mpidr = 0;
  uint8_t efficiency = 0;
  uint8_t reserved_77 = 0;
  uint16_t overflow_gsi = 0;
};
static_assert(sizeof(GicCpu) == 80);

struct [[gnu::packed]] GicDistributor {
  uint8_t type = 12;
  uint8_t length = 24;
  uint16_t reserved_2 = 0;
  uint32_t id = 0;
  uint64_t base = kGicDistributor;
  uint32_t interrupt_base = 0;
  uint8_t version = 3;
  uint8_t reserved_21[3] = {};
};
static_assert(sizeof(GicDistributor) == 24);

struct [[gnu::packed]] GicMsiFrame {
  uint8_t type = 13;
  uint8_t length = 24;
  uint16_t reserved_2 = 0;
  uint32_t id = 0;
  uint64_t base = kGicV2m;
  uint32_t flags = 1;  // the two numbers below count, not the register
  uint16_t count = kV2mSpis;
  uint16_t first = kFirstSpi + kV2mSpi;
};
static_assert(sizeof(GicMsiFrame) == 24);

struct [[gnu::packed]] GicRedistributors {
  uint8_t type = 14;
  uint8_t length = 16;
  uint16_t reserved_2 = 0;
  uint64_t base = kGicRedistributors;
  uint32_t size = 0;
};
static_assert(sizeof(GicRedistributors) == 16);

struct [[gnu::packed]] GicIts {
  uint8_t type = 15;
  uint8_t length = 20;
  uint16_t reserved_2 = 0;
  uint32_t id = kItsId;
  uint64_t base = kGicIts;
  uint32_t reserved_16 = 0;
};
static_assert(sizeof(GicIts) == 20);

// --- GTDT, 5.2.24 ------------------------------------------------------------

struct [[gnu::packed]] Timer {
  uint32_t gsi = 0;
  uint32_t flags = 1u << 2;  // level, active high; runs while the CPU sleeps
};

struct [[gnu::packed]] GtdtBody {
  uint64_t control = ~uint64_t{0};  // no such registers
  uint32_t reserved_44 = 0;
  Timer secure{kFirstPpi + kSecureTimerPpi};
  Timer physical{kFirstPpi + kPhysicalTimerPpi};
  Timer virtual_timer{kFirstPpi + kVirtualTimerPpi};
  Timer hypervisor{kFirstPpi + kHypTimerPpi};
  uint64_t counter = ~uint64_t{0};
  uint32_t platform_timers = 0;
  uint32_t platform_timer_offset = 0;
};
static_assert(sizeof(GtdtBody) == 96 - kTableHeader);

// --- PPTT, 5.2.29 ------------------------------------------------------------

struct [[gnu::packed]] Processor {
  uint8_t type = 0;
  uint8_t length = 20;
  uint16_t reserved_2 = 0;
  uint32_t flags = 0;
  uint32_t parent = 0;  // its offset in the table
  uint32_t uid = 0;
  uint32_t resources = 0;  // so many offsets of caches follow
};
static_assert(sizeof(Processor) == 20);
constexpr uint32_t kPhysicalPackage = 1u << 0;
constexpr uint32_t kUidValid = 1u << 1;
constexpr uint32_t kThread = 1u << 2;
constexpr uint32_t kLeaf = 1u << 3;
constexpr uint32_t kSameBelow = 1u << 4;

struct [[gnu::packed]] Cache {
  uint8_t type = 1;
  uint8_t length = 24;
  uint16_t reserved_2 = 0;
  uint32_t flags = 1u << 4;  // only the kind is told, not the size
  uint32_t next_level = 0;
  uint32_t size = 0;
  uint32_t sets = 0;
  uint8_t ways = 0;
  uint8_t attributes = 2u << 2;  // unified
  uint16_t line = 0;
};
static_assert(sizeof(Cache) == 24);

// Grows the table's body; offsets count from the table's first byte.
class PpttWriter {
 public:
  uint32_t AddCache() { return Add(Cache{}); }
  uint32_t AddSocket(uint32_t cache) {
    const uint32_t at =
        Add(Processor{.length = sizeof(Processor) + sizeof(cache),
                      .flags = kPhysicalPackage | kSameBelow,
                      .resources = 1});
    AppendObject(body_, cache);
    return at;
  }
  uint32_t AddProcessor(const Processor& processor) { return Add(processor); }
  const Bytes& body() const { return body_; }

 private:
  template <typename T>
  uint32_t Add(const T& object) {
    const auto at = static_cast<uint32_t>(kTableHeader + body_.size());
    AppendObject(body_, object);
    return at;
  }
  Bytes body_;
};

// --- SPCR --------------------------------------------------------------------

struct [[gnu::packed]] SpcrBody {
  uint8_t interface = 3;  // PL011
  uint8_t reserved_37[3] = {};
  uint8_t space = 0;  // memory
  uint8_t bit_width = 32;
  uint8_t bit_offset = 0;
  uint8_t access_size = 3;  // 4 bytes
  uint64_t base = kUart;
  uint8_t interrupt_type = 1u << 3;  // a GIC
  uint8_t pc_interrupt = 0;
  uint32_t gsi = kFirstSpi + kUartSpi;
  uint8_t baud = 7;  // 115200
  uint8_t parity = 0;
  uint8_t stop_bits = 1;
  uint8_t flow_control = 0;
  uint8_t terminal = 3;  // ANSI
  uint8_t language = 0;
  uint16_t pci_device = 0xffff;
  uint16_t pci_vendor = 0xffff;
  uint8_t pci_address[3] = {};
  uint32_t pci_flags = 0;
  uint8_t pci_segment = 0;
  uint32_t reserved_76 = 0;
};
static_assert(sizeof(SpcrBody) == 80 - kTableHeader);

// --- IORT, Arm DEN0049D ------------------------------------------------------

struct [[gnu::packed]] IortBody {
  uint32_t nodes = 2;
  uint32_t first = 48;
  uint32_t reserved_44 = 0;
};
static_assert(sizeof(IortBody) == 48 - kTableHeader);

struct [[gnu::packed]] ItsGroup {
  uint8_t type = 0;
  uint16_t length = 24;
  uint8_t revision = 0;
  uint32_t reserved_4 = 0;
  uint32_t mappings = 0;
  uint32_t first_mapping = 0;
  uint32_t count = 1;
  uint32_t its = kItsId;
};
static_assert(sizeof(ItsGroup) == 24);

struct [[gnu::packed]] IdMapping {
  uint32_t first = 0;
  uint32_t last = 0xffff;
  uint32_t output = 0;
  uint32_t to = 48;  // the ITS group
  uint32_t flags = 0;
};
static_assert(sizeof(IdMapping) == 20);

struct [[gnu::packed]] RootComplex {
  uint8_t type = 2;
  uint16_t length = 36 + sizeof(IdMapping);
  uint8_t revision = 1;
  uint32_t reserved_4 = 0;
  uint32_t mappings = 1;
  uint32_t first_mapping = 36;
  uint32_t coherent = 1;
  uint8_t hints = 0;
  uint16_t reserved_21 = 0;
  uint8_t memory_flags = 3;  // coherent path, cacheable without overrides
  uint32_t ats = 0;
  uint32_t segment = 0;
  uint8_t address_bits = 64;
  uint8_t reserved_33[3] = {};
};
static_assert(sizeof(RootComplex) == 36);

// --- SRAT, 5.2.16 ------------------------------------------------------------

struct [[gnu::packed]] GicCpuAffinity {
  uint8_t type = 3;
  uint8_t length = 18;
  uint32_t node = 0;
  uint32_t uid = 0;
  uint32_t flags = 1;  // enabled
  uint32_t clock_domain = 0;
};
static_assert(sizeof(GicCpuAffinity) == 18);

struct [[gnu::packed]] ItsAffinity {
  uint8_t type = 4;
  uint8_t length = 12;
  uint32_t node = 0;
  uint16_t reserved_6 = 0;
  uint32_t its = kItsId;
};
static_assert(sizeof(ItsAffinity) == 12);

constexpr uint8_t kGtdtRevision = 2;
constexpr uint8_t kPpttRevision = 2;
constexpr uint8_t kSpcrRevision = 2;
constexpr uint8_t kIortRevision = 0;

}  // namespace

Bytes BuildArmMadt(const FdtMachine& machine) {
  const bool v2 = machine.gic == GicKind::kV2;
  Bytes entries;
  for (uint32_t i = 0; i < machine.cpus.size(); ++i) {
    AppendObject(entries,
                 GicCpu{.interface = i,
                        .uid = i,
                        .pmu_gsi = machine.pmu ? kFirstPpi + kPmuPpi : 0,
                        .registers = v2 ? kGicCpuInterface : 0,
                        .mpidr = machine.cpus[i].mpidr & kMpidrAffinity});
  }
  AppendObject(entries,
               GicDistributor{.version = static_cast<uint8_t>(v2 ? 2 : 3)});
  if (!v2) {
    AppendObject(entries, GicRedistributors{.size = static_cast<uint32_t>(
                                                machine.cpus.size() *
                                                kGicRedistributorSize)});
  }
  if (machine.gic == GicKind::kV3Its) {
    AppendObject(entries, GicIts{});
  } else {
    AppendObject(entries, GicMsiFrame{});
  }
  return BuildMadt(0, 0, entries);
}

Bytes BuildGtdt() {
  return BuildTable("GTDT", kGtdtRevision, ObjectBytes(GtdtBody{}));
}

Bytes BuildPptt(const FdtMachine& machine) {
  PpttWriter pptt;
  std::map<uint32_t, uint32_t> sockets;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> cores;
  const bool threads = machine.threads_per_core > 1;
  for (uint32_t i = 0; i < machine.cpus.size(); ++i) {
    const FdtCpu& cpu = machine.cpus[i];
    if (!sockets.contains(cpu.socket)) {
      sockets[cpu.socket] = pptt.AddSocket(pptt.AddCache());
    }
    Processor leaf{
        .flags = kUidValid | kLeaf, .parent = sockets[cpu.socket], .uid = i};
    if (threads) {
      const std::pair<uint32_t, uint32_t> core{cpu.socket, cpu.core};
      if (!cores.contains(core)) {
        cores[core] = pptt.AddProcessor(
            {.flags = kSameBelow, .parent = sockets[cpu.socket]});
      }
      leaf.flags |= kThread;
      leaf.parent = cores[core];
    }
    pptt.AddProcessor(leaf);
  }
  return BuildTable("PPTT", kPpttRevision, pptt.body());
}

Bytes BuildSpcr() {
  return BuildTable("SPCR", kSpcrRevision, ObjectBytes(SpcrBody{}));
}

Bytes BuildIort() {
  Bytes body;
  AppendObject(body, IortBody{});
  AppendObject(body, ItsGroup{});
  AppendObject(body, RootComplex{});
  AppendObject(body, IdMapping{});
  return BuildTable("IORT", kIortRevision, body);
}

Bytes BuildArmSrat(const FdtMachine& machine, const AcpiMachine& acpi) {
  Bytes entries;
  for (const AcpiCpu& cpu : acpi.cpus) {
    AppendObject(entries, GicCpuAffinity{.node = cpu.node, .uid = cpu.uid});
  }
  if (machine.gic == GicKind::kV3Its) {
    AppendObject(entries, ItsAffinity{.node = acpi.pci.node});
  }
  return BuildSrat(entries, acpi.nodes);
}

}  // namespace kvmlet::arch::arm64
