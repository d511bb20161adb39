/* SPDX-License-Identifier: Apache-2.0 */
/* What the arm64 payloads share. A payload is a flat binary, entered at its
   first byte at EL1 with the MMU off and the device tree's address in X0; it
   keeps that in X20. Memory is Device memory to it: aligned accesses only, no
   exclusives. */
#define UART 0x09000000
#define GPIO 0x09030000
#define EXIT_DEVICE 0x09080000
#define PVPANIC 0x09090000
#define NOBODY 0x09f00000
#define ECAM 0x30000000

/* PSCI function identifiers (Arm DEN 0022). */
#define PSCI_CPU_ON 0xc4000003
#define PSCI_SYSTEM_OFF 0x84000008
#define PSCI_SYSTEM_RESET 0x84000009

.macro PAYLOAD_ENTRY
  .text
  .globl _start
_start:
  mov x20, x0
.endm

.macro LOAD reg, value
  movz \reg, #((\value) & 0xffff)
  movk \reg, #((\value) >> 16 & 0xffff), lsl #16
.endm

.macro HALT_FOR_EVER
1:wfi
  b 1b
.endm

.macro EXIT_WITH_W0
  LOAD x1, EXIT_DEVICE
  str w0, [x1]
  HALT_FOR_EVER
.endm

/* W0: the number that follows the key in the command line, or the default.
   Clobbers X1 to X9. */
.macro COMMAND_LINE_NUMBER key, default
  adr x1, 11f
  LOAD x2, \default
  ldr w3, [x20, #4]
  rev w3, w3
  add x3, x20, x3
  mov x4, x20
  bl find_number
  b 12f
11:.asciz "\key"
  .balign 4
12:
.endm

/* X0: the number after the key at X1 in the bytes from X4 to X3, or X2. The
   device tree is searched as it is: it is small. */
.macro FIND_NUMBER_BODY
find_number:
1:cmp x4, x3
  b.hs 5f
  mov x5, x1
  mov x6, x4
2:ldrb w7, [x5], #1
  cbz w7, 3f
  ldrb w8, [x6], #1
  cmp w7, w8
  b.eq 2b
  add x4, x4, #1
  b 1b
3:mov x2, #0
  mov x9, #10
4:ldrb w8, [x6], #1
  sub w8, w8, #'0'
  cmp w8, #9
  b.hi 5f
  madd x2, x2, x9, x8
  b 4b
5:mov x0, x2
  ret
.endm
