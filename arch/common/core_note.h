// SPDX-License-Identifier: Apache-2.0
// A note of a core file out of a plain structure. A pure function, thread-safe;
// sizes are in bytes. ELF gABI, "Note Section".
#ifndef KVMLET_ARCH_COMMON_CORE_NOTE_H_
#define KVMLET_ARCH_COMMON_CORE_NOTE_H_

#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "arch/core.h"

namespace kvmlet::arch {

template <typename T>
CoreNote MakeCoreNote(std::string name, uint32_t type, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  CoreNote note{.name = std::move(name), .type = type, .data = {}};
  note.data.resize(sizeof(value));
  std::memcpy(note.data.data(), &value, sizeof(value));
  return note;
}

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_CORE_NOTE_H_
