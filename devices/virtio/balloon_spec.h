// SPDX-License-Identifier: Apache-2.0
// Numbers and wire structures of the memory balloon. Constants and plain data
// only; every field is little endian, as the host is.
// Specification: Virtio 1.2, section 5.5; statistics above 9 are Linux 6.12's.
#ifndef KVMLET_DEVICES_VIRTIO_BALLOON_SPEC_H_
#define KVMLET_DEVICES_VIRTIO_BALLOON_SPEC_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace kvmlet::virtio {

// Section 5.5.3, as masks. Not offered: MUST_TELL_HOST (0), because a page may
// come back at any time; FREE_PAGE_HINT (3), because Linux takes a hinted page
// back without a word when memory gets short, so that it must not be dropped.
inline constexpr uint64_t kBalloonStats = 1ull << 1;
inline constexpr uint64_t kBalloonDeflateOnOom = 1ull << 2;
inline constexpr uint64_t kBalloonFreePageHint = 1ull << 3;
inline constexpr uint64_t kBalloonPagePoison = 1ull << 4;
inline constexpr uint64_t kBalloonReporting = 1ull << 5;

// Section 5.5.6: always, whatever the guest's page is.
inline constexpr uint32_t kBalloonPageShift = 12;

// Section 5.5.4.
struct BalloonConfig {
  uint32_t num_pages = 0;              // the device's wish
  uint32_t actual = 0;                 // the driver's answer
  uint32_t free_page_hint_cmd_id = 0;  // unused
  uint32_t poison_val = 0;             // the driver's
};
static_assert(sizeof(BalloonConfig) == 16);

// Section 5.5.6.3: 10 bytes without padding.
struct __attribute__((packed)) BalloonStatEntry {
  uint16_t tag;
  uint64_t value;
};
static_assert(sizeof(BalloonStatEntry) == 10);

// By tag, as QEMU names them.
inline constexpr std::array<const char*, 16> kBalloonStatNames = {
    "stat-swap-in",          "stat-swap-out",     "stat-major-faults",
    "stat-minor-faults",     "stat-free-memory",  "stat-total-memory",
    "stat-available-memory", "stat-disk-caches",  "stat-htlb-pgalloc",
    "stat-htlb-pgfail",      "stat-oom-kills",    "stat-alloc-stalls",
    "stat-async-scans",      "stat-direct-scans", "stat-async-reclaims",
    "stat-direct-reclaims"};
inline constexpr size_t kBalloonStatCount = kBalloonStatNames.size();

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_BALLOON_SPEC_H_
