// SPDX-License-Identifier: Apache-2.0
// What the kernel's VFIO and IOMMUFD interfaces have beyond the <linux/vfio.h>
// of the oldest system kvmlet is built on: device files, binding to IOMMUFD,
// and IOMMUFD's requests. Constants and structures only; sizes in bytes.
// Specification: Linux, include/uapi/linux/vfio.h and iommufd.h.
#ifndef KVMLET_DEVICES_VFIO_UAPI_H_
#define KVMLET_DEVICES_VFIO_UAPI_H_

#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cstdint>

namespace kvmlet::vfio {

// VFIO_DEVICE_BIND_IOMMUFD (6.6). The structure had 16 bytes before 6.17.
struct BindIommufd {
  uint32_t argsz;
  uint32_t flags;
  int32_t iommufd;
  uint32_t out_devid;
  uint64_t token_uuid_ptr;
};
static_assert(sizeof(BindIommufd) == 24);
inline constexpr uint32_t kBindIommufdOldSize = 16;
inline constexpr uint32_t kBindFlagToken = 1 << 0;
inline constexpr unsigned long kBindIommufd = _IO(VFIO_TYPE, VFIO_BASE + 18);

// VFIO_DEVICE_ATTACH_IOMMUFD_PT (6.6).
struct AttachIommufdPt {
  uint32_t argsz;
  uint32_t flags;
  uint32_t pt_id;
};
inline constexpr unsigned long kAttachIommufdPt =
    _IO(VFIO_TYPE, VFIO_BASE + 19);

// VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, flags (6.6).
inline constexpr uint32_t kHotResetById = 1 << 0;
inline constexpr uint32_t kHotResetOwned = 1 << 1;

// IOMMUFD shares VFIO's ioctl type and numbers its requests from 0x80.
struct IoasAlloc {
  uint32_t size;
  uint32_t flags;
  uint32_t out_ioas_id;
};
struct IoasRange {
  uint64_t start;
  uint64_t last;
};
struct IoasIovaRanges {
  uint32_t size;
  uint32_t ioas_id;
  uint32_t num_iovas;
  uint32_t reserved;
  uint64_t allowed_iovas;
  uint64_t out_iova_alignment;
};
struct IoasMap {
  uint32_t size;
  uint32_t flags;
  uint32_t ioas_id;
  uint32_t reserved;
  uint64_t user_va;
  uint64_t length;
  uint64_t iova;
};
struct IoasUnmap {
  uint32_t size;
  uint32_t ioas_id;
  uint64_t iova;
  uint64_t length;
};
inline constexpr uint32_t kIoasMapFixedIova = 1 << 0;
inline constexpr uint32_t kIoasMapWritable = 1 << 1;
inline constexpr uint32_t kIoasMapReadable = 1 << 2;
inline constexpr unsigned long kIoasAlloc = _IO(';', 0x81);
inline constexpr unsigned long kIoasIovaRanges = _IO(';', 0x84);
inline constexpr unsigned long kIoasMap = _IO(';', 0x85);
inline constexpr unsigned long kIoasUnmap = _IO(';', 0x86);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_UAPI_H_
