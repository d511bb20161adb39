// SPDX-License-Identifier: Apache-2.0
// What debug_guest_x86_64.S and its test agree on: guest addresses in bytes,
// and selectors. Read by the assembler too. Specification: Intel SDM volume 3,
// 3.4.2 "Segment Selectors".
#ifndef KVMLET_TESTS_KVM_DEBUG_GUEST_X86_64_H_
#define KVMLET_TESTS_KVM_DEBUG_GUEST_X86_64_H_

#define DEBUG_GUEST_CODE 0x100000
#define DEBUG_GUEST_REAL_CODE 0x30000
#define DEBUG_GUEST_DATA 0x200000
#define DEBUG_GUEST_DR6 0x200100
#define DEBUG_GUEST_TRAPS 0x200108
#define DEBUG_GUEST_INT3S 0x200110
#define DEBUG_GUEST_INTERRUPTS 0x200118
#define DEBUG_GUEST_UNCLAIMED 0xf8000000

#define DEBUG_GUEST_CODE_SELECTOR 0x10
#define DEBUG_GUEST_DATA_SELECTOR 0x18
#define DEBUG_GUEST_COMPAT_SELECTOR 0x20

#endif  // KVMLET_TESTS_KVM_DEBUG_GUEST_X86_64_H_
