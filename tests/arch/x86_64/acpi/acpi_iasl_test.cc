// SPDX-License-Identifier: Apache-2.0
// Every table through iasl, the reference compiler.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/layout.h"
#include "tests/arch/common/acpi_reader.h"
#include "tests/arch/common/iasl.h"
#include "tests/arch/x86_64/acpi/machines.h"

namespace kvmlet::arch::x86_64 {
namespace {

struct IaslCase {
  uint32_t cpus;
  uint32_t nodes;
};

class IaslTest : public IaslFixture,
                 public testing::WithParamInterface<IaslCase> {};

TEST_P(IaslTest, HasNothingToRemark) {
  constexpr uint64_t kLimit = kAcpiTablesEnd - kAcpiTables;
  AcpiMachine machine = TestMachine(GetParam().cpus, GetParam().nodes);
  // Some with slots whose devices come and go.
  if (GetParam().cpus > 1) {
    machine.pci.hotplug = {.registers = {kPciHotplug, kPciHotplugSize},
                           .slots = 0x800001fe};
  }
  const auto blob = BuildAcpi(machine, Gpa{kAcpiTables}, kLimit);
  ASSERT_TRUE(blob.ok()) << blob.status();
  const auto tables = ReadAcpi(blob->bytes, kAcpiTables);
  ASSERT_TRUE(tables.ok()) << tables.status();
  ExpectNoRemark(*tables);
}

INSTANTIATE_TEST_SUITE_P(Machines, IaslTest,
                         testing::Values(IaslCase{1, 0}, IaslCase{1, 2},
                                         IaslCase{4, 0}, IaslCase{4, 2},
                                         IaslCase{4, 4}, IaslCase{64, 0},
                                         IaslCase{64, 4}, IaslCase{300, 0},
                                         IaslCase{300, 2}, IaslCase{300, 4}),
                         [](const auto& info) {
                           return absl::StrCat(info.param.cpus, "Cpus",
                                               info.param.nodes, "Nodes");
                         });

}  // namespace
}  // namespace kvmlet::arch::x86_64
