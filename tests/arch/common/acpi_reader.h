// SPDX-License-Identifier: Apache-2.0
// The guest's side of the ACPI tables, for tests: finds every table from the
// RSDP on and decodes resource templates. Written against the specification
// and not against the builder. Plain functions; a malformed table is an error
// that says where.
#ifndef KVMLET_TESTS_ARCH_COMMON_ACPI_READER_H_
#define KVMLET_TESTS_ARCH_COMMON_ACPI_READER_H_

#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/common/bytes.h"

namespace kvmlet::arch {

template <typename T>
T LoadAt(std::span<const std::byte> bytes, size_t offset) {
  T value{};
  const auto part = bytes.subspan(offset, sizeof(T));
  std::memcpy(&value, part.data(), part.size());
  return value;
}

uint8_t Sum(std::span<const std::byte> bytes);

// Every table by its signature ("RSD PTR ", "XSDT", "FACP", "DSDT", ...), with
// lengths and checksums verified. `base` is where `bytes` lie; RSDP first.
absl::StatusOr<std::map<std::string, Bytes>> ReadAcpi(
    std::span<const std::byte> bytes, uint64_t base);

// The structures of a MADT or SRAT, which begin at `offset`.
struct Subtable {
  uint8_t type = 0;
  Bytes bytes;  // with type and length
};
std::vector<Subtable> ReadSubtables(const Bytes& table, size_t offset);

struct ReadResource {
  enum Kind { kBus, kIo, kMemory, kInterrupt } kind = kMemory;
  bool window = false;  // for devices below, not for the device itself
  uint64_t base = 0;    // or the interrupt
  uint64_t size = 0;
  uint8_t flags = 0;  // of an interrupt
  friend bool operator==(const ReadResource&, const ReadResource&) = default;
};
// The _CRS of the first device called `device` (four letters).
absl::StatusOr<std::vector<ReadResource>> ReadCrs(const Bytes& dsdt,
                                                  std::string_view device);
// The descriptors of a resource template, without the buffer around it.
absl::StatusOr<std::vector<ReadResource>> ReadResources(
    std::span<const std::byte> bytes);

}  // namespace kvmlet::arch

#endif  // KVMLET_TESTS_ARCH_COMMON_ACPI_READER_H_
