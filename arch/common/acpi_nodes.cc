// SPDX-License-Identifier: Apache-2.0
#include "arch/common/acpi_nodes.h"

#include "arch/common/ram_cutter.h"

namespace kvmlet::arch {

void DescribeNodes(const VmConfig& config, const MemoryPlan& plan,
                   AcpiMachine& machine) {
  RamCutter ram(plan.ram);
  for (uint32_t n = 0; n < config.numa.size(); ++n) {
    const NumaNodeConfig& node = config.numa[n];
    AcpiNode& described = machine.nodes.emplace_back();
    described.distances = node.distances;
    for (const RamRange& part : ram.Cut(node.memory)) {
      described.memory.push_back({.range = {part.base.value, part.size}});
    }
    for (const uint32_t cpu : node.cpus) {
      if (cpu < machine.cpus.size()) machine.cpus[cpu].node = n;
    }
  }
  // Only where there are nodes: a range that may be filled later makes Linux
  // set memory aside for devices that cannot reach it.
  for (const HotplugRange& hotplug : plan.hotplug) {
    if (hotplug.node >= machine.nodes.size()) continue;
    machine.nodes[hotplug.node].memory.push_back(
        {.range = ToAcpi(hotplug.range), .hotplug = true});
  }
}

}  // namespace kvmlet::arch
