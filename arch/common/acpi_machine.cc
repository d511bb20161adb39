// SPDX-License-Identifier: Apache-2.0
#include "arch/common/acpi_machine.h"

#include <limits>
#include <set>

#include "absl/strings/str_format.h"

namespace kvmlet::arch {
namespace {

constexpr uint64_t k4GiB = uint64_t{1} << 32;
constexpr uint64_t kBusEcam = uint64_t{1} << 20;
constexpr uint64_t kMaxBuses = 256;
// ACPI 6.3, 5.2.17: the distance to itself; smaller values are reserved.
constexpr uint8_t kLocalDistance = 10;
// The namespace has three hexadecimal digits for a CPU, one for a port.
constexpr size_t kMaxCpus = 4096;
constexpr size_t kMaxSerials = 9;  // COM1 to COM9

// Nothing of the range lies at or beyond `end`.
bool EndsBefore(const AcpiRange& range, uint64_t end) {
  return range.size <= end && range.base <= end - range.size;
}

absl::Status CheckCpus(const AcpiMachine& machine) {
  if (machine.cpus.empty() || machine.cpus.size() > kMaxCpus) {
    return absl::InvalidArgumentError(
        absl::StrFormat("ACPI: %d CPUs: the tables hold 1 to %d",
                        machine.cpus.size(), kMaxCpus));
  }
  std::set<uint32_t> uids;
  std::set<uint64_t> hardware_ids;
  for (const AcpiCpu& cpu : machine.cpus) {
    if (!uids.insert(cpu.uid).second ||
        !hardware_ids.insert(cpu.hardware_id).second) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "ACPI: CPU %d: its uid or hardware id 0x%x is another CPU's too",
          cpu.uid, cpu.hardware_id));
    }
    if (!machine.nodes.empty() && cpu.node >= machine.nodes.size()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "ACPI: CPU %d is of NUMA node %d, but there are %d nodes", cpu.uid,
          cpu.node, machine.nodes.size()));
    }
  }
  return absl::OkStatus();
}

// Linux ignores the whole table when one distance breaks these rules.
absl::Status CheckDistances(const AcpiMachine& machine) {
  const size_t count = machine.nodes.size();
  if (count > std::numeric_limits<uint8_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--numa: %d nodes: at most 255", count));
  }
  for (size_t from = 0; from < count; ++from) {
    const std::vector<uint8_t>& distances = machine.nodes[from].distances;
    if (distances.empty()) continue;
    if (distances.size() != count) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "--numa: node %d has %d distances, but there are %d nodes", from,
          distances.size(), count));
    }
    for (size_t to = 0; to < count; ++to) {
      if (from == to ? distances[to] != kLocalDistance
                     : distances[to] <= kLocalDistance) {
        return absl::InvalidArgumentError(absl::StrFormat(
            "--numa: distance %d from node %d to node %d: it is 10 to itself "
            "and 11 to 255 to another",
            distances[to], from, to));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPci(const AcpiMachine& machine) {
  const AcpiPci& pci = machine.pci;
  if (!machine.nodes.empty() && pci.node >= machine.nodes.size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("ACPI: PCI is of NUMA node %d, but there are %d nodes",
                        pci.node, machine.nodes.size()));
  }
  if (pci.ecam.size == 0 || pci.ecam.size % kBusEcam != 0 ||
      pci.ecam.size / kBusEcam > kMaxBuses ||
      !EndsBefore(pci.ecam, std::numeric_limits<uint64_t>::max())) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "ACPI: ECAM of 0x%x bytes at 0x%x: it is 1 MiB for each of 1 to 256 "
        "buses",
        pci.ecam.size, pci.ecam.base));
  }
  if (pci.mmio32.size == 0 || !EndsBefore(pci.mmio32, k4GiB)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "ACPI: 32-bit PCI window of 0x%x bytes at 0x%x: it lies below 4 GiB",
        pci.mmio32.size, pci.mmio32.base));
  }
  if (!EndsBefore(pci.mmio64, std::numeric_limits<uint64_t>::max())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("ACPI: 64-bit PCI window of 0x%x bytes at 0x%x wraps",
                        pci.mmio64.size, pci.mmio64.base));
  }
  if (!EndsBefore(pci.io, 0x10000)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "ACPI: PCI I/O window of 0x%x ports at 0x%x: there are 65536 ports",
        pci.io.size, pci.io.base));
  }
  return absl::OkStatus();
}

absl::Status CheckRegisters(const char* who, const AcpiRegisters& registers) {
  const bool io = registers.space == AcpiSpace::kIo;
  if (registers.range.size == 0 || (io && registers.range.size > 0xff) ||
      !EndsBefore(registers.range, io ? 0x10000 : k4GiB)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "ACPI: %s: 0x%x bytes of registers at 0x%x do not fit %s", who,
        registers.range.size, registers.range.base,
        io ? "the I/O ports" : "below 4 GiB"));
  }
  return absl::OkStatus();
}

absl::Status CheckDevices(const AcpiMachine& machine) {
  if (machine.serials.size() > kMaxSerials) {
    return absl::InvalidArgumentError(
        absl::StrFormat("ACPI: %d serial ports: at most %d",
                        machine.serials.size(), kMaxSerials));
  }
  std::vector<std::pair<const char*, AcpiRegisters>> all = {
      {"event device", {AcpiSpace::kMemory, machine.events.registers}}};
  for (const AcpiSerial& serial : machine.serials) {
    all.emplace_back("serial port", serial.registers);
  }
  if (machine.exit_device)
    all.emplace_back("exit device", *machine.exit_device);
  if (machine.pvpanic) all.emplace_back("pvpanic", *machine.pvpanic);
  if (machine.rtc) all.emplace_back("clock", *machine.rtc);
  for (const auto& [who, registers] : all) {
    if (absl::Status status = CheckRegisters(who, registers); !status.ok()) {
      return status;
    }
  }
  for (const AcpiRange& range : machine.reserved) {
    if (range.size == 0 ||
        !EndsBefore(range, std::numeric_limits<uint64_t>::max())) {
      return absl::InvalidArgumentError(
          absl::StrFormat("ACPI: reserved range of 0x%x bytes at 0x%x",
                          range.size, range.base));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AcpiMachine::Validate() const {
  for (const absl::Status& status : {CheckCpus(*this), CheckDistances(*this),
                                     CheckPci(*this), CheckDevices(*this)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace kvmlet::arch
