// SPDX-License-Identifier: Apache-2.0
#include "arch/common/acpi_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace kvmlet::arch {
namespace {

using ::testing::HasSubstr;

AcpiMachine Valid() {
  AcpiMachine machine;
  machine.cpus = {{.uid = 0, .hardware_id = 0}, {.uid = 1, .hardware_id = 1}};
  machine.pci = {.ecam = {0xe0000000, 0x10000000},
                 .io = {0x1000, 0xf000},
                 .mmio32 = {0xc0000000, 0x20000000},
                 .mmio64 = {0x8000000000, 0x8000000000}};
  machine.events = {.registers = {0xfeb00000, 0x1000}};
  return machine;
}

struct BadMachine {
  const char* name;
  std::function<void(AcpiMachine&)> spoil;
  const char* error;
};

class AcpiMachineTest : public testing::TestWithParam<BadMachine> {};

TEST_P(AcpiMachineTest, IsRefusedWithAReason) {
  AcpiMachine machine = Valid();
  GetParam().spoil(machine);
  const absl::Status status = machine.Validate();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().error));
}

const BadMachine kBadMachines[] = {
    {"NoCpu", [](AcpiMachine& m) { m.cpus.clear(); }, "0 CPUs"},
    {"TooManyCpus", [](AcpiMachine& m) { m.cpus.resize(4097); }, "4097 CPUs"},
    {"SameUid", [](AcpiMachine& m) { m.cpus[1].uid = 0; }, "uid"},
    {"SameApicId", [](AcpiMachine& m) { m.cpus[1].hardware_id = 0; }, "0x0"},
    {"CpuOfNoNode",
     [](AcpiMachine& m) {
       m.nodes.resize(2);
       m.cpus[1].node = 2;
     },
     "NUMA node 2"},
    {"PciOfNoNode",
     [](AcpiMachine& m) {
       m.nodes.resize(1);
       m.pci.node = 1;
     },
     "NUMA node 1"},
    {"TooManyNodes", [](AcpiMachine& m) { m.nodes.resize(256); }, "256 nodes"},
    {"TooFewDistances",
     [](AcpiMachine& m) {
       m.nodes.resize(2);
       m.nodes[1].distances = {20};
     },
     "has 1 distances"},
    {"FarFromItself",
     [](AcpiMachine& m) {
       m.nodes.resize(2);
       m.nodes[1].distances = {20, 11};
     },
     "distance 11"},
    {"TooNearToAnother",
     [](AcpiMachine& m) {
       m.nodes.resize(2);
       m.nodes[0].distances = {10, 10};
     },
     "distance 10 from node 0 to node 1"},
    {"NoEcam", [](AcpiMachine& m) { m.pci.ecam.size = 0; }, "ECAM"},
    {"HalfABus", [](AcpiMachine& m) { m.pci.ecam.size = 0x180000; }, "ECAM"},
    {"TooManyBuses", [](AcpiMachine& m) { m.pci.ecam.size = 0x10100000; },
     "ECAM"},
    {"EcamWraps", [](AcpiMachine& m) { m.pci.ecam.base = ~0xfffull; }, "ECAM"},
    {"Mmio32BeyondFourGigabytes",
     [](AcpiMachine& m) { m.pci.mmio32.size = 0x40000001; }, "32-bit"},
    {"Mmio64Wraps", [](AcpiMachine& m) { m.pci.mmio64.base = ~0xfffull; },
     "64-bit"},
    {"IoBeyondThePorts", [](AcpiMachine& m) { m.pci.io.size = 0xf001; },
     "65536 ports"},
    {"EventsAboveFourGigabytes",
     [](AcpiMachine& m) { m.events.registers.base = 0xfffff001; },
     "event device"},
    {"TooManySerials", [](AcpiMachine& m) { m.serials.resize(10); },
     "10 serial ports"},
    {"SerialWithoutPorts", [](AcpiMachine& m) { m.serials.resize(1); },
     "serial port"},
    {"ExitBeyondThePorts",
     [](AcpiMachine& m) {
       m.exit_device = AcpiRegisters{AcpiSpace::kIo, {0xfffe, 4}};
     },
     "exit device"},
    {"EmptyReservation", [](AcpiMachine& m) { m.reserved.resize(1); },
     "reserved"},
};

INSTANTIATE_TEST_SUITE_P(Bad, AcpiMachineTest, testing::ValuesIn(kBadMachines),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(AcpiMachineValidTest, IsAccepted) { EXPECT_TRUE(Valid().Validate().ok()); }

TEST(AcpiMachineValidTest, WindowMayEndAtFourGigabytes) {
  AcpiMachine machine = Valid();
  machine.pci.mmio32.size = 0x40000000;
  EXPECT_TRUE(machine.Validate().ok());
}

}  // namespace
}  // namespace kvmlet::arch
