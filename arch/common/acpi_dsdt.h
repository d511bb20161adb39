// SPDX-License-Identifier: Apache-2.0
// The DSDT: the devices of an AcpiMachine that no bus can enumerate, as AML.
// Each piece is a function of its own, so that an ISA can add to the list.
// Pure functions, thread-safe; the machine must have passed Validate().
// ACPI 6.3, chapters 5 to 9.
#ifndef KVMLET_ARCH_COMMON_ACPI_DSDT_H_
#define KVMLET_ARCH_COMMON_ACPI_DSDT_H_

#include <span>
#include <vector>

#include "arch/common/acpi_machine.h"
#include "arch/common/aml.h"
#include "arch/common/bytes.h"

namespace kvmlet::arch {

// What the event device does when a bit of its event selector is set. A new
// kind of event (hot-plug, an error source) is one more of these.
struct AcpiEventAction {
  uint32_t bit = 0;  // a mask of one bit
  aml::Terms actions;
};

// The whole table; `more` is added to \_SB, `more_events` to the event
// device's.
Bytes BuildDsdt(const AcpiMachine& machine, const aml::Terms& more = {},
                const std::vector<AcpiEventAction>& more_events = {});

// The pieces, to be put below \_SB.
aml::Term DescribePci(const AcpiMachine& machine);
aml::Term DescribeReserved(std::span<const AcpiRange> ranges);
aml::Terms DescribeEvents(const AcpiEvents& events,
                          const std::vector<AcpiEventAction>& actions);
aml::Term DescribePowerButton();
aml::Term DescribeSerial(const AcpiSerial& serial, size_t index);
aml::Terms DescribeCpus(std::span<const AcpiCpu> cpus);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_ACPI_DSDT_H_
