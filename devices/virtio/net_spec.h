// SPDX-License-Identifier: Apache-2.0
// The numbers and wire structures of the network card: feature bits as masks,
// the packet header, configuration space and the control queue's commands.
// Constants and plain data only; every field is little endian, as the host is.
// Specification: Virtio 1.2, section 5.1.
#ifndef KVMLET_DEVICES_VIRTIO_NET_SPEC_H_
#define KVMLET_DEVICES_VIRTIO_NET_SPEC_H_

#include <array>
#include <cstdint>

namespace kvmlet::virtio {

// Section 5.1.3 "Feature bits". "Host" is what the device does for packets
// from the guest, "guest" what the driver takes in packets from the host.
inline constexpr uint64_t kNetChecksum = 1ull << 0;
inline constexpr uint64_t kNetGuestChecksum = 1ull << 1;
inline constexpr uint64_t kNetControlGuestOffloads = 1ull << 2;
inline constexpr uint64_t kNetMtu = 1ull << 3;
inline constexpr uint64_t kNetMac = 1ull << 5;
inline constexpr uint64_t kNetGuestTso4 = 1ull << 7;
inline constexpr uint64_t kNetGuestTso6 = 1ull << 8;
inline constexpr uint64_t kNetGuestEcn = 1ull << 9;
inline constexpr uint64_t kNetHostTso4 = 1ull << 11;
inline constexpr uint64_t kNetHostTso6 = 1ull << 12;
inline constexpr uint64_t kNetHostEcn = 1ull << 13;
inline constexpr uint64_t kNetMergeable = 1ull << 15;
inline constexpr uint64_t kNetStatus = 1ull << 16;
inline constexpr uint64_t kNetControl = 1ull << 17;
inline constexpr uint64_t kNetControlRx = 1ull << 18;
inline constexpr uint64_t kNetMultiQueue = 1ull << 22;
inline constexpr uint64_t kNetControlMac = 1ull << 23;

// Section 5.1.4 "Device configuration layout", as far as features need it.
struct NetConfigSpace {
  std::array<uint8_t, 6> mac;
  uint16_t status;
  uint16_t max_pairs;
  uint16_t mtu;
};
static_assert(sizeof(NetConfigSpace) == 12);
inline constexpr uint16_t kNetLinkUp = 1;

// Section 5.1.6 "Device Operation": precedes every packet.
struct NetHeader {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t header_length;
  uint16_t gso_size;
  uint16_t checksum_start;
  uint16_t checksum_offset;
  uint16_t buffer_count;
};
static_assert(sizeof(NetHeader) == 12);

// Section 5.1.6.5 "Control Virtqueue".
struct NetCommand {
  uint8_t type;
  uint8_t command;
};
static_assert(sizeof(NetCommand) == 2);
inline constexpr uint8_t kNetAckOk = 0;
inline constexpr uint8_t kNetAckError = 1;

inline constexpr uint8_t kNetCommandRx = 0;
inline constexpr uint8_t kNetRxPromiscuous = 0;
inline constexpr uint8_t kNetRxAllMulticast = 1;

inline constexpr uint8_t kNetCommandMac = 1;
inline constexpr uint8_t kNetMacTableSet = 0;
inline constexpr uint8_t kNetMacAddressSet = 1;

inline constexpr uint8_t kNetCommandMultiQueue = 4;
inline constexpr uint8_t kNetPairsSet = 0;

inline constexpr uint8_t kNetCommandOffloads = 5;
inline constexpr uint8_t kNetOffloadsSet = 0;

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_NET_SPEC_H_
