// SPDX-License-Identifier: Apache-2.0
// The numbers and wire structures of virtio that every device shares: feature
// bits, device status, split rings, and the registers of the PCI transport.
// Constants and plain data only; every field is little endian, as the host is.
// Specification: Virtio 1.2, sections 2.1, 2.7, 4.1 and 6.
#ifndef KVMLET_DEVICES_VIRTIO_SPEC_H_
#define KVMLET_DEVICES_VIRTIO_SPEC_H_

#include <cstdint>

namespace kvmlet::virtio {

// Section 6 "Reserved Feature Bits", as masks.
inline constexpr uint64_t kFeatureIndirectDesc = 1ull << 28;
inline constexpr uint64_t kFeatureEventIdx = 1ull << 29;
inline constexpr uint64_t kFeatureVersion1 = 1ull << 32;
inline constexpr uint64_t kFeatureAccessPlatform = 1ull << 33;

// Section 2.1 "Device Status Field".
inline constexpr uint8_t kStatusAcknowledge = 1;
inline constexpr uint8_t kStatusDriver = 2;
inline constexpr uint8_t kStatusDriverOk = 4;
inline constexpr uint8_t kStatusFeaturesOk = 8;
inline constexpr uint8_t kStatusNeedsReset = 64;
inline constexpr uint8_t kStatusFailed = 128;

// Section 5 "Device Types".
inline constexpr uint16_t kDeviceNet = 1;
inline constexpr uint16_t kDeviceBlock = 2;
inline constexpr uint16_t kDeviceConsole = 3;
inline constexpr uint16_t kDeviceEntropy = 4;
inline constexpr uint16_t kDeviceBalloon = 5;
inline constexpr uint16_t kDeviceVsock = 19;
inline constexpr uint16_t kDeviceMem = 24;
inline constexpr uint16_t kDevicePmem = 27;

// Section 2.7 "Split Virtqueues".
inline constexpr uint16_t kMaxQueueSize = 32768;
inline constexpr uint16_t kDescNext = 1;
inline constexpr uint16_t kDescWrite = 2;
inline constexpr uint16_t kDescIndirect = 4;
inline constexpr uint16_t kAvailNoInterrupt = 1;
inline constexpr uint16_t kUsedNoNotify = 1;

struct VirtqDesc {
  uint64_t addr;
  uint32_t len;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(VirtqDesc) == 16);

struct VirtqUsedElem {
  uint32_t id;
  uint32_t len;
};
static_assert(sizeof(VirtqUsedElem) == 8);

// Layout of the two rings: flags, idx, ring[size], then the event word.
inline constexpr uint64_t kRingFlags = 0;
inline constexpr uint64_t kRingIndex = 2;
inline constexpr uint64_t kRingEntries = 4;
constexpr uint64_t AvailRingSize(uint16_t size) { return 6 + 2ull * size; }
constexpr uint64_t UsedRingSize(uint16_t size) { return 6 + 8ull * size; }
constexpr uint64_t UsedEventOffset(uint16_t size) { return 4 + 2ull * size; }
constexpr uint64_t AvailEventOffset(uint16_t size) { return 4 + 8ull * size; }

// Section 4.1 "Virtio Over PCI Bus".
inline constexpr uint16_t kPciVendor = 0x1af4;
inline constexpr uint16_t kPciDeviceBase = 0x1040;
inline constexpr uint16_t kNoVector = 0xffff;
inline constexpr uint8_t kIsrQueue = 1;
inline constexpr uint8_t kIsrConfig = 2;

// Section 4.1.4: the structures that capabilities point at.
inline constexpr uint8_t kPciCapCommon = 1;
inline constexpr uint8_t kPciCapNotify = 2;
inline constexpr uint8_t kPciCapIsr = 3;
inline constexpr uint8_t kPciCapDevice = 4;
inline constexpr uint8_t kPciCapAccess = 5;  // VIRTIO_PCI_CAP_PCI_CFG

// A vendor capability of section 4.1.4, without the PCI id and next pointer.
// `extra` is the notify multiplier, or the data window of kPciCapAccess; the
// others end before it.
struct PciCapBody {
  uint8_t length;  // of the whole capability
  uint8_t type;
  uint8_t bar;
  uint8_t id;
  uint8_t padding[2];
  uint8_t offset[4];
  uint8_t size[4];
  uint8_t extra[4];
};
static_assert(sizeof(PciCapBody) == 18);

// Section 4.1.4.3 "Common configuration structure layout".
struct PciCommonConfig {
  uint32_t device_feature_select;
  uint32_t device_feature;
  uint32_t driver_feature_select;
  uint32_t driver_feature;
  uint16_t config_msix_vector;
  uint16_t num_queues;
  uint8_t device_status;
  uint8_t config_generation;
  uint16_t queue_select;
  uint16_t queue_size;
  uint16_t queue_msix_vector;
  uint16_t queue_enable;
  uint16_t queue_notify_off;
  uint64_t queue_desc;
  uint64_t queue_driver;
  uint64_t queue_device;
};
static_assert(sizeof(PciCommonConfig) == 56);

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_SPEC_H_
