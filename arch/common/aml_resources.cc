// SPDX-License-Identifier: Apache-2.0
#include "arch/common/aml_resources.h"

#include <glog/logging.h>

#include <limits>

namespace kvmlet::arch::aml {
namespace {

// 6.4.2 and 6.4.3: the first byte of each descriptor.
constexpr uint8_t kIoTag = 0x47;
constexpr uint8_t kEndTag = 0x79;
constexpr uint8_t kMemory32FixedTag = 0x86;
constexpr uint8_t kDWordAddressTag = 0x87;
constexpr uint8_t kWordAddressTag = 0x88;
constexpr uint8_t kExtendedInterruptTag = 0x89;
constexpr uint8_t kQWordAddressTag = 0x8a;

// 6.4.3.5: what an address space descriptor describes.
constexpr uint8_t kMemoryRange = 0;
constexpr uint8_t kIoRange = 1;
constexpr uint8_t kBusRange = 2;
// General flags: both ends are fixed; without kConsumer a bridge's window.
constexpr uint8_t kConsumer = 0x01;
constexpr uint8_t kFixedEnds = 0x0c;
// Type specific flags.
constexpr uint8_t kEntireIoRange = 0x03;
constexpr uint8_t kReadWrite = 0x01;  // and not cacheable

// One of the three address space descriptors; T is the width of its numbers.
template <typename T>
Resource AddressSpace(uint8_t tag, uint8_t type, uint8_t general_flags,
                      uint8_t type_flags, uint64_t first, uint64_t last) {
  CHECK_LE(first, last);
  CHECK_LE(last, std::numeric_limits<T>::max());
  Bytes out;
  AppendByte(out, tag);
  AppendObject(out, static_cast<uint16_t>(3 + 5 * sizeof(T)));
  AppendByte(out, type);
  AppendByte(out, general_flags);
  AppendByte(out, type_flags);
  AppendObject(out, T{0});  // granularity
  AppendObject(out, static_cast<T>(first));
  AppendObject(out, static_cast<T>(last));
  AppendObject(out, T{0});  // translation
  AppendObject(out, static_cast<T>(last - first + 1));
  return Resource(std::move(out));
}

uint64_t Last(const AcpiRange& range) {
  CHECK_NE(range.size, 0u);
  return range.base + (range.size - 1);
}

}  // namespace

Value ResourceTemplate(const std::vector<Resource>& resources) {
  Bytes bytes;
  for (const Resource& resource : resources) Append(bytes, resource.bytes());
  AppendByte(bytes, kEndTag);
  AppendByte(bytes, 0);  // "the checksum is valid"
  return Buffer(bytes);
}

Resource Io(uint16_t port, uint8_t length) {
  Bytes out;
  AppendByte(out, kIoTag);
  AppendByte(out, 1);  // decodes all 16 address bits
  AppendObject(out, port);
  AppendObject(out, port);
  AppendByte(out, 1);  // alignment
  AppendByte(out, length);
  return Resource(std::move(out));
}

Resource Memory32Fixed(const AcpiRange& range) {
  CHECK_LE(Last(range), std::numeric_limits<uint32_t>::max());
  Bytes out;
  AppendByte(out, kMemory32FixedTag);
  AppendObject(out, uint16_t{9});
  AppendByte(out, 1);  // writable
  AppendObject(out, static_cast<uint32_t>(range.base));
  AppendObject(out, static_cast<uint32_t>(range.size));
  return Resource(std::move(out));
}

Resource Interrupt(const AcpiInterrupt& interrupt) {
  constexpr uint8_t kEdge = 0x02;
  constexpr uint8_t kActiveLow = 0x04;
  uint8_t flags = kConsumer;
  if (!interrupt.level) flags |= kEdge;
  if (interrupt.active_low) flags |= kActiveLow;
  Bytes out;
  AppendByte(out, kExtendedInterruptTag);
  AppendObject(out, uint16_t{6});
  AppendByte(out, flags);
  AppendByte(out, 1);  // number of interrupts
  AppendObject(out, interrupt.gsi);
  return Resource(std::move(out));
}

Resource QWordMemory(const AcpiRange& range) {
  return AddressSpace<uint64_t>(kQWordAddressTag, kMemoryRange,
                                kFixedEnds | kConsumer, kReadWrite, range.base,
                                Last(range));
}

Resource BusWindow(uint16_t first, uint16_t last) {
  return AddressSpace<uint16_t>(kWordAddressTag, kBusRange, kFixedEnds, 0,
                                first, last);
}

Resource IoWindow(const AcpiRange& range) {
  return AddressSpace<uint16_t>(kWordAddressTag, kIoRange, kFixedEnds,
                                kEntireIoRange, range.base, Last(range));
}

Resource Memory32Window(const AcpiRange& range) {
  return AddressSpace<uint32_t>(kDWordAddressTag, kMemoryRange, kFixedEnds,
                                kReadWrite, range.base, Last(range));
}

Resource Memory64Window(const AcpiRange& range) {
  return AddressSpace<uint64_t>(kQWordAddressTag, kMemoryRange, kFixedEnds,
                                kReadWrite, range.base, Last(range));
}

}  // namespace kvmlet::arch::aml
