/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the other processors of "cpus=N" with PSCI CPU_ON, one after the
   other, each of which says in memory that it runs, with what CPU_ON gave it,
   and ends with the number of those that came up. */
#include "payload.h"

#define POLLS 10000000

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "cpus=", 1
  mov w21, w0
  mov w22, #1
1:cmp w22, w21
  b.hs 4f
  /* Sixteen to a cluster, as KVM numbers them. */
  and x1, x22, #0xf
  lsr x2, x22, #4
  orr x1, x1, x2, lsl #8
  adr x2, secondary
  add x3, x22, #0x100
  LOAD x0, PSCI_CPU_ON
  hvc #0
  cbnz x0, 4f
  adr x4, flags
  LOAD x5, POLLS
  add w6, w22, #0x100
2:ldr w7, [x4, x22, lsl #2]
  cmp w7, w6
  b.eq 3f
  subs x5, x5, #1
  b.ne 2b
  b 4f
3:add w22, w22, #1
  b 1b
4:mov w0, w22
  EXIT_WITH_W0

secondary:
  adr x4, flags
  sub x1, x0, #0x100
  str w0, [x4, x1, lsl #2]
  HALT_FOR_EVER

FIND_NUMBER_BODY

  .balign 8
flags:
  .skip 512 * 4
