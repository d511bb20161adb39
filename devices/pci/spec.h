// SPDX-License-Identifier: Apache-2.0
// Registers and identifiers of PCI, as far as kvmlet uses them. Constants
// only; offsets are bytes into the configuration space of a function.
// Specification: PCI Local Bus 3.0, chapter 6; PCI Express Base 4.0, chapter 7.
#ifndef KVMLET_DEVICES_PCI_SPEC_H_
#define KVMLET_DEVICES_PCI_SPEC_H_

#include <cstdint>

namespace kvmlet::pci {

inline constexpr uint16_t kConfigSize = 256;
inline constexpr uint16_t kExtendedConfigSize = 4096;
inline constexpr uint32_t kMaxDevices = 32;
inline constexpr uint32_t kMaxFunctions = 8;
inline constexpr uint8_t kMaxBars = 6;
inline constexpr uint8_t kRomBar = 6;  // the expansion ROM, among the BARs

// Type 0 configuration space header, PCI 3.0 section 6.1.
inline constexpr uint16_t kVendorId = 0x00;
inline constexpr uint16_t kDeviceId = 0x02;
inline constexpr uint16_t kCommand = 0x04;
inline constexpr uint16_t kStatus = 0x06;
inline constexpr uint16_t kRevision = 0x08;
inline constexpr uint16_t kClassCode = 0x09;  // three bytes
inline constexpr uint16_t kCacheLineSize = 0x0c;
inline constexpr uint16_t kHeaderType = 0x0e;
inline constexpr uint16_t kBar0 = 0x10;
inline constexpr uint16_t kSubsystemVendorId = 0x2c;
inline constexpr uint16_t kSubsystemId = 0x2e;
inline constexpr uint16_t kExpansionRom = 0x30;
inline constexpr uint16_t kCapabilityPointer = 0x34;
inline constexpr uint16_t kInterruptLine = 0x3c;
inline constexpr uint16_t kInterruptPin = 0x3d;
inline constexpr uint16_t kFirstCapability = 0x40;
inline constexpr uint16_t kFirstExtendedCapability = 0x100;

// Command register.
inline constexpr uint16_t kCommandIo = 1 << 0;
inline constexpr uint16_t kCommandMemory = 1 << 1;
inline constexpr uint16_t kCommandBusMaster = 1 << 2;
inline constexpr uint16_t kCommandParity = 1 << 6;
inline constexpr uint16_t kCommandSerr = 1 << 8;
inline constexpr uint16_t kCommandIntxDisable = 1 << 10;

// Status register.
inline constexpr uint16_t kStatusInterrupt = 1 << 3;
inline constexpr uint16_t kStatusCapabilities = 1 << 4;
inline constexpr uint16_t kStatusErrors = 0xf900;  // write one to clear

inline constexpr uint8_t kHeaderMultiFunction = 0x80;

// Base address registers, section 6.2.5.1.
inline constexpr uint32_t kBarIo = 1 << 0;
inline constexpr uint32_t kBar64Bit = 1 << 2;
inline constexpr uint32_t kBarPrefetchable = 1 << 3;
inline constexpr uint32_t kBarAddressMask = 0xfffffff0;

// Expansion ROM base address register, section 6.2.5.2.
inline constexpr uint32_t kRomEnable = 1 << 0;
inline constexpr uint32_t kRomAddressMask = 0xfffff800;

// Capability identifiers.
inline constexpr uint8_t kCapabilityVendor = 0x09;
inline constexpr uint8_t kCapabilityMsix = 0x11;

// MSI-X, section 6.8.2.
inline constexpr uint16_t kMsixEnable = 1 << 15;
inline constexpr uint16_t kMsixFunctionMask = 1 << 14;
inline constexpr uint16_t kMsixMaxVectors = 2048;
inline constexpr uint32_t kMsixEntrySize = 16;
inline constexpr uint32_t kMsixVectorMasked = 1 << 0;

// Class codes: base class, subclass, programming interface.
inline constexpr uint32_t kClassScsi = 0x010000;
inline constexpr uint32_t kClassEthernet = 0x020000;
inline constexpr uint32_t kClassNetworkOther = 0x028000;
inline constexpr uint32_t kClassMemoryOther = 0x058000;
inline constexpr uint32_t kClassHostBridge = 0x060000;
inline constexpr uint32_t kClassCommunicationOther = 0x078000;
inline constexpr uint32_t kClassOther = 0x00ff00;

}  // namespace kvmlet::pci

#endif  // KVMLET_DEVICES_PCI_SPEC_H_
