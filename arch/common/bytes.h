// SPDX-License-Identifier: Apache-2.0
// A byte string that grows at its end, in which the tables for the guest are
// written: little endian, as ACPI wants it on every ISA. Plain functions on a
// vector, as thread-safe as the vector.
#ifndef KVMLET_ARCH_COMMON_BYTES_H_
#define KVMLET_ARCH_COMMON_BYTES_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace kvmlet::arch {

static_assert(std::endian::native == std::endian::little);

using Bytes = std::vector<std::byte>;

inline void Append(Bytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

inline void AppendText(Bytes& out, std::string_view text) {
  Append(out, std::as_bytes(std::span(text)));
}

// Appends an integer or a packed structure as it lies in memory.
template <typename T>
void AppendObject(Bytes& out, const T& object) {
  static_assert(std::is_trivially_copyable_v<T>);
  Append(out, std::as_bytes(std::span(&object, 1)));
}

// Such an object alone.
template <typename T>
Bytes ObjectBytes(const T& object) {
  Bytes out;
  AppendObject(out, object);
  return out;
}

inline void AppendByte(Bytes& out, uint8_t byte) {
  out.push_back(std::byte{byte});
}

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_BYTES_H_
