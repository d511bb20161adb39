// SPDX-License-Identifier: Apache-2.0
// The resource descriptors that a _CRS object is made of. A range is given by
// its base and size; a range that does not fit its descriptor is a bug of the
// caller and ends the process. Thread-safe; units are bytes; ACPI 6.3, 6.4
// "Resource Data Types for ACPI".
#ifndef KVMLET_ARCH_COMMON_AML_RESOURCES_H_
#define KVMLET_ARCH_COMMON_AML_RESOURCES_H_

#include <cstdint>
#include <vector>

#include "arch/common/acpi_machine.h"
#include "arch/common/aml.h"
#include "arch/common/bytes.h"

namespace kvmlet::arch::aml {

// One descriptor.
class Resource {
 public:
  explicit Resource(Bytes bytes) : bytes_(std::move(bytes)) {}
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

// The buffer of all descriptors and the end tag.
Value ResourceTemplate(const std::vector<Resource>& resources);

// What a device itself decodes.
Resource Io(uint16_t port, uint8_t length);
Resource Memory32Fixed(const AcpiRange& range);
Resource Interrupt(const AcpiInterrupt& interrupt);
Resource QWordMemory(const AcpiRange& range);

// What a bridge hands on to the devices below it.
Resource BusWindow(uint16_t first, uint16_t last);
Resource IoWindow(const AcpiRange& range);
Resource Memory32Window(const AcpiRange& range);
Resource Memory64Window(const AcpiRange& range);

}  // namespace kvmlet::arch::aml

#endif  // KVMLET_ARCH_COMMON_AML_RESOURCES_H_
