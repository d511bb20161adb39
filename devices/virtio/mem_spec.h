// SPDX-License-Identifier: Apache-2.0
// The numbers and wire structures of the virtio memory device. Constants and
// plain data only; every field is little endian, as the host is.
// Specification: Virtio 1.3, section 5.15 "Memory Device".
#ifndef KVMLET_DEVICES_VIRTIO_MEM_SPEC_H_
#define KVMLET_DEVICES_VIRTIO_MEM_SPEC_H_

#include <cstdint>

namespace kvmlet::virtio {

// Feature bits, as masks.
inline constexpr uint64_t kMemAcpiPxm = 1ull << 0;
inline constexpr uint64_t kMemUnpluggedInaccessible = 1ull << 1;
inline constexpr uint64_t kMemPersistentSuspend = 1ull << 2;

struct MemConfig {
  uint64_t block_size;
  uint16_t node_id;  // an ACPI proximity domain; valid with kMemAcpiPxm
  uint8_t padding[6];
  uint64_t addr;
  uint64_t region_size;
  uint64_t usable_region_size;
  uint64_t plugged_size;
  uint64_t requested_size;
};
static_assert(sizeof(MemConfig) == 56);

enum class MemRequestType : uint16_t {
  kPlug = 0,
  kUnplug = 1,
  kUnplugAll = 2,
  kState = 3,
};
inline constexpr uint16_t kMemRequestTypes = 4;

struct MemRequest {
  uint16_t type;
  uint16_t padding[3];
  uint64_t addr;       // not of kUnplugAll
  uint16_t nb_blocks;  // not of kUnplugAll
  uint16_t padding2[3];
};
static_assert(sizeof(MemRequest) == 24);

enum class MemResponseType : uint16_t {
  kAck = 0,
  kNack = 1,   // more than was requested: look at requested_size again
  kBusy = 2,   // the host cannot now: try again later
  kError = 3,  // the request is wrong
};
inline constexpr uint16_t kMemResponseTypes = 4;

enum class MemState : uint16_t { kPlugged = 0, kUnplugged = 1, kMixed = 2 };

struct MemResponse {
  uint16_t type;
  uint16_t padding[3];
  uint16_t state;  // of kState that is acknowledged
};
static_assert(sizeof(MemResponse) == 10);

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_MEM_SPEC_H_
