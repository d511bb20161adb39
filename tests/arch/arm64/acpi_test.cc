// SPDX-License-Identifier: Apache-2.0
// The ACPI tables against the machine that was asked for, against the device
// tree of the same machine, and through iasl.
#include "arch/arm64/acpi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "arch/arm64/efi.h"
#include "arch/arm64/error_source.h"
#include "tests/arch/arm64/fdt_reader.h"
#include "tests/arch/arm64/machines.h"
#include "tests/arch/common/acpi_reader.h"
#include "tests/arch/common/iasl.h"

namespace kvmlet::arch::arm64 {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Tables = std::map<std::string, Bytes>;

constexpr Gpa kBase{kRam + 0x1000000};
constexpr uint64_t kRoom = kFirmwareErrors - kFirmwareAcpi;
constexpr size_t kMadtEntries = 44;
constexpr size_t kSratEntries = 48;

AcpiMachine WithNodes(const FdtMachine& machine, uint32_t nodes) {
  AcpiMachine acpi = DescribeAcpi(machine);
  for (uint32_t n = 0; n < nodes; ++n) {
    acpi.nodes.push_back(
        {.memory = {{.range = {kRam + n * 256 * kMiB, 256 * kMiB}}}});
  }
  for (AcpiCpu& cpu : acpi.cpus) {
    if (nodes != 0) cpu.node = cpu.uid % nodes;
  }
  return acpi;
}

Bytes Hest() {
  const RamRange range{Gpa{0}, 0x1000};
  const GuestMemory memory = *GuestMemory::Create({&range, 1}, {});
  return ErrorSources(memory, kBase + kRoom).BuildHest();
}

Tables Build(const FdtMachine& machine, uint32_t nodes = 0) {
  const auto bytes =
      BuildAcpi(machine, WithNodes(machine, nodes), Hest(), kBase, kRoom);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  if (!bytes.ok()) return {};
  auto tables = ReadAcpi(*bytes, kBase.value);
  EXPECT_TRUE(tables.ok()) << tables.status();
  return tables.ok() ? *std::move(tables) : Tables{};
}

std::vector<Bytes> Entries(const Bytes& table, size_t offset, uint8_t type) {
  std::vector<Bytes> found;
  for (const Subtable& entry : ReadSubtables(table, offset)) {
    if (entry.type == type) found.push_back(entry.bytes);
  }
  return found;
}

std::vector<std::string> Names(const Tables& tables) {
  std::vector<std::string> names;
  for (const auto& [name, table] : tables) names.push_back(name);
  return names;
}

TEST(Arm64AcpiTest, TablesOfAMachineWithoutNodes) {
  EXPECT_THAT(Names(Build(Machine())),
              ElementsAre("APIC", "DSDT", "FACP", "GTDT", "HEST", "IORT",
                          "MCFG", "PPTT", "RSD PTR ", "SPCR", "XSDT"));
}

TEST(Arm64AcpiTest, NodesBringAffinityAndDistances) {
  const Tables tables = Build(Machine(4), 2);
  ASSERT_TRUE(tables.contains("SRAT"));
  ASSERT_TRUE(tables.contains("SLIT"));
  const auto cpus = Entries(tables.at("SRAT"), kSratEntries, 3);
  ASSERT_THAT(cpus, SizeIs(4));
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(LoadAt<uint32_t>(cpus[i], 2), i % 2);
    EXPECT_EQ(LoadAt<uint32_t>(cpus[i], 6), i);
  }
  EXPECT_THAT(Entries(tables.at("SRAT"), kSratEntries, 4), SizeIs(1));
  EXPECT_THAT(Entries(tables.at("SRAT"), kSratEntries, 1), SizeIs(2));
}

TEST(Arm64AcpiTest, FadtSaysPsciByHvcOnReducedHardware) {
  const Bytes fadt = Build(Machine()).at("FACP");
  EXPECT_EQ(LoadAt<uint16_t>(fadt, 129), 3);
  EXPECT_NE(LoadAt<uint32_t>(fadt, 112) & 1u << 20, 0u);
  EXPECT_EQ(fadt.size(), 276u);
}

TEST(Arm64AcpiTest, TooLittleRoomIsAnError) {
  const FdtMachine machine = Machine(8);
  EXPECT_EQ(BuildAcpi(machine, DescribeAcpi(machine), Hest(), kBase, 0x400)
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Arm64AcpiTest, LargestMachineHasRoom) {
  EXPECT_TRUE(Build(Machine(kMaxVcpus), 4).contains("SRAT"));
}

// --- The same machine as the device tree's -----------------------------------

class SameMachineTest : public testing::TestWithParam<GicKind> {
 protected:
  const FdtMachine machine_ =
      Machine(GetParam() == GicKind::kV2 ? 4 : 20, GetParam());
  const Tables acpi_ = Build(machine_);
  const FdtReader fdt_{BuildFdt(machine_).value_or(Bytes(64))};
};

TEST_P(SameMachineTest, Processors) {
  std::set<uint64_t> mpidrs;
  for (const Bytes& cpu : Entries(acpi_.at("APIC"), kMadtEntries, 11)) {
    EXPECT_EQ(LoadAt<uint32_t>(cpu, 12), 1u);
    const auto mpidr = LoadAt<uint64_t>(cpu, 68);
    mpidrs.insert(mpidr);
    EXPECT_EQ(fdt_.Cell(absl::StrCat("/cpus/cpu@", absl::Hex(mpidr)), "reg"),
              mpidr);
    // The PMU's interrupt: a PPI from 0 there, the GIC's own number here.
    EXPECT_EQ(LoadAt<uint32_t>(cpu, 20),
              fdt_.Cells("/pmu", "interrupts")[1] + 16);
  }
  EXPECT_EQ(mpidrs.size(), machine_.cpus.size());
}

TEST_P(SameMachineTest, InterruptController) {
  const Bytes& madt = acpi_.at("APIC");
  const bool v2 = GetParam() == GicKind::kV2;
  const std::vector<uint64_t> reg = fdt_.Numbers("/intc@8000000", "reg");
  const auto distributor = Entries(madt, kMadtEntries, 12);
  ASSERT_THAT(distributor, SizeIs(1));
  EXPECT_EQ(LoadAt<uint64_t>(distributor[0], 8), reg[0]);
  EXPECT_EQ(LoadAt<uint8_t>(distributor[0], 20), v2 ? 2 : 3);
  const auto redistributors = Entries(madt, kMadtEntries, 14);
  if (v2) {
    EXPECT_THAT(redistributors, IsEmpty());
    for (const Bytes& cpu : Entries(madt, kMadtEntries, 11)) {
      EXPECT_EQ(LoadAt<uint64_t>(cpu, 32), reg[2]);
    }
  } else {
    ASSERT_THAT(redistributors, SizeIs(1));
    EXPECT_EQ(LoadAt<uint64_t>(redistributors[0], 4), reg[2]);
    EXPECT_EQ(LoadAt<uint32_t>(redistributors[0], 12), reg[3]);
  }
}

TEST_P(SameMachineTest, MessageSignalledInterrupts) {
  const Bytes& madt = acpi_.at("APIC");
  const auto its = Entries(madt, kMadtEntries, 15);
  const auto frames = Entries(madt, kMadtEntries, 13);
  if (GetParam() == GicKind::kV3Its) {
    EXPECT_THAT(frames, IsEmpty());
    ASSERT_THAT(its, SizeIs(1));
    EXPECT_EQ(LoadAt<uint64_t>(its[0], 8),
              fdt_.Numbers("/intc@8000000/msi-controller@8080000", "reg")[0]);
    // msi-map: from 0, to 0, all of them; and the IORT's mapping.
    const Bytes& iort = acpi_.at("IORT");
    const auto map = fdt_.Cells("/pcie@30000000", "msi-map");
    const size_t mapping = 48 + 24 + 36;
    ASSERT_EQ(iort.size(), mapping + 20);
    EXPECT_EQ(LoadAt<uint32_t>(iort, mapping), map[0]);
    EXPECT_EQ(LoadAt<uint32_t>(iort, mapping + 4), map[3] - 1);
    EXPECT_EQ(LoadAt<uint32_t>(iort, mapping + 8), map[2]);
    return;
  }
  EXPECT_THAT(its, IsEmpty());
  ASSERT_THAT(frames, SizeIs(1));
  const char* const v2m = "/intc@8000000/v2m@8020000";
  EXPECT_EQ(LoadAt<uint64_t>(frames[0], 8), fdt_.Numbers(v2m, "reg")[0]);
  EXPECT_EQ(LoadAt<uint16_t>(frames[0], 20),
            fdt_.Cell(v2m, "arm,msi-num-spis"));
  EXPECT_EQ(LoadAt<uint16_t>(frames[0], 22),
            fdt_.Cell(v2m, "arm,msi-base-spi"));
}

TEST_P(SameMachineTest, Timers) {
  const Bytes& gtdt = acpi_.at("GTDT");
  // Triplets of kind, number and flags.
  const std::vector<uint32_t> fdt = fdt_.Cells("/timer", "interrupts");
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(LoadAt<uint32_t>(gtdt, 48 + 8 * i), fdt[3 * i + 1] + 16);
  }
}

TEST_P(SameMachineTest, SerialPort) {
  const std::vector<uint64_t> reg = fdt_.Numbers("/pl011@9000000", "reg");
  const uint32_t gsi = fdt_.Cells("/pl011@9000000", "interrupts")[1] + 32;
  const Bytes& spcr = acpi_.at("SPCR");
  EXPECT_EQ(spcr.size(), 80u);
  EXPECT_EQ(LoadAt<uint64_t>(spcr, 44), reg[0]);
  EXPECT_EQ(LoadAt<uint32_t>(spcr, 54), gsi);
  const auto crs = ReadCrs(acpi_.at("DSDT"), "UART");
  ASSERT_TRUE(crs.ok()) << crs.status();
  ASSERT_THAT(*crs, SizeIs(2));
  EXPECT_EQ((*crs)[0].base, reg[0]);
  EXPECT_EQ((*crs)[0].size, reg[1]);
  EXPECT_EQ((*crs)[1].base, gsi);
}

TEST_P(SameMachineTest, PciHost) {
  const Bytes& mcfg = acpi_.at("MCFG");
  const std::vector<uint64_t> ecam = fdt_.Numbers("/pcie@30000000", "reg");
  EXPECT_EQ(LoadAt<uint64_t>(mcfg, 44), ecam[0]);
  EXPECT_EQ((LoadAt<uint8_t>(mcfg, 55) + 1u) << 20, ecam[1]);
  const auto crs = ReadCrs(acpi_.at("DSDT"), "PCI0");
  ASSERT_TRUE(crs.ok()) << crs.status();
  // Windows of seven cells: space, PCI address, address, size.
  const std::vector<uint32_t> ranges = fdt_.Cells("/pcie@30000000", "ranges");
  for (size_t i = 0; i + 7 <= ranges.size(); i += 7) {
    const uint64_t base = uint64_t{ranges[i + 3]} << 32 | ranges[i + 4];
    const uint64_t size = uint64_t{ranges[i + 5]} << 32 | ranges[i + 6];
    EXPECT_THAT(*crs, Contains(ReadResource{.kind = ReadResource::kMemory,
                                            .window = true,
                                            .base = base,
                                            .size = size}));
  }
}

TEST_P(SameMachineTest, Doors) {
  for (const auto& [device, path] :
       {std::pair{"EXIT", "/exit@9080000"}, {"PEVT", "/pvpanic@9090000"}}) {
    const auto crs = ReadCrs(acpi_.at("DSDT"), device);
    ASSERT_TRUE(crs.ok()) << crs.status();
    const std::vector<uint64_t> reg = fdt_.Numbers(path, "reg");
    EXPECT_EQ((*crs)[0].base, reg[0]);
    EXPECT_EQ((*crs)[0].size, reg[1]);
  }
}

std::string NameOf(GicKind gic) {
  constexpr const char* kNames[] = {"V3Its", "V3V2m", "V2"};
  return kNames[static_cast<size_t>(gic)];
}

INSTANTIATE_TEST_SUITE_P(Controllers, SameMachineTest,
                         testing::Values(GicKind::kV3Its, GicKind::kV3V2m,
                                         GicKind::kV2),
                         [](const auto& info) { return NameOf(info.param); });

// --- PPTT --------------------------------------------------------------------

// The processor structures from a CPU's up to its socket.
std::vector<size_t> Ancestors(const Bytes& pptt, uint32_t uid) {
  std::vector<size_t> chain;
  for (size_t at = 36; at < pptt.size(); at += LoadAt<uint8_t>(pptt, at + 1)) {
    const bool leaf = LoadAt<uint8_t>(pptt, at) == 0 &&
                      (LoadAt<uint32_t>(pptt, at + 4) & 8) != 0;
    if (leaf && LoadAt<uint32_t>(pptt, at + 12) == uid) chain.push_back(at);
  }
  while (!chain.empty() && LoadAt<uint32_t>(pptt, chain.back() + 8) != 0) {
    chain.push_back(LoadAt<uint32_t>(pptt, chain.back() + 8));
  }
  return chain;
}

TEST(PpttTest, SocketsHoldCoresHoldThreads) {
  FdtMachine machine = Machine(8);
  machine.threads_per_core = 2;
  for (uint32_t i = 0; i < 8; ++i) {
    machine.cpus[i].socket = i / 4;
    machine.cpus[i].core = i / 2 % 2;
    machine.cpus[i].thread = i % 2;
  }
  const Bytes pptt = Build(machine).at("PPTT");
  std::vector<std::vector<size_t>> chains;
  for (uint32_t i = 0; i < 8; ++i) chains.push_back(Ancestors(pptt, i));
  for (uint32_t i = 0; i < 8; ++i) {
    ASSERT_THAT(chains[i], SizeIs(3)) << i;
    EXPECT_NE(LoadAt<uint32_t>(pptt, chains[i][0] + 4) & 4, 0u);  // a thread
    EXPECT_NE(LoadAt<uint32_t>(pptt, chains[i][2] + 4) & 1, 0u);  // a socket
    for (uint32_t j = 0; j < i; ++j) {
      EXPECT_EQ(chains[i][1] == chains[j][1], i / 2 == j / 2);
      EXPECT_EQ(chains[i][2] == chains[j][2], i / 4 == j / 4);
    }
  }
}

TEST(PpttTest, CoresOfOneThreadAreLeaves) {
  const Bytes pptt = Build(Machine(3)).at("PPTT");
  for (uint32_t i = 0; i < 3; ++i) {
    ASSERT_THAT(Ancestors(pptt, i), SizeIs(2));
    EXPECT_EQ(LoadAt<uint32_t>(pptt, Ancestors(pptt, i)[0] + 4) & 4, 0u);
  }
}

// --- iasl --------------------------------------------------------------------

struct IaslCase {
  uint32_t cpus;
  uint32_t nodes;
  GicKind gic = GicKind::kV3Its;
};

class Arm64IaslTest : public IaslFixture,
                      public testing::WithParamInterface<IaslCase> {};

TEST_P(Arm64IaslTest, HasNothingToRemark) {
  ExpectNoRemark(
      Build(Machine(GetParam().cpus, GetParam().gic), GetParam().nodes));
}

INSTANTIATE_TEST_SUITE_P(Machines, Arm64IaslTest,
                         testing::Values(IaslCase{1, 0}, IaslCase{4, 2},
                                         IaslCase{4, 0, GicKind::kV3V2m},
                                         IaslCase{4, 0, GicKind::kV2},
                                         IaslCase{64, 4}, IaslCase{300, 2}),
                         [](const auto& info) {
                           return absl::StrCat(
                               info.param.cpus, "Cpus", info.param.nodes,
                               "Nodes", static_cast<int>(info.param.gic));
                         });

}  // namespace
}  // namespace kvmlet::arch::arm64
