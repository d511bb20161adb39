/* SPDX-License-Identifier: Apache-2.0 */
/* Touches devices, PCI configuration and addresses that nobody has with every
   width, and with instructions that the hardware does not decode for KVM,
   which must end in an abort of its own. Ends with 0, or with the number of
   the check that failed. */
#include "payload.h"

.macro TOUCH base
  LOAD x1, \base
  mov x2, #0x200
1:ldrb w3, [x1]
  ldrh w3, [x1]
  ldr w3, [x1]
  ldr x3, [x1]
  strb wzr, [x1, #0x14]
  strh wzr, [x1, #0x14]
  str wzr, [x1, #0x14]
  str xzr, [x1, #0x10]
  add x1, x1, #8
  subs x2, x2, #1
  b.ne 1b
.endm

PAYLOAD_ENTRY
  adr x1, vectors
  msr vbar_el1, x1
  isb
  /* Nobody: all ones. */
  LOAD x1, NOBODY
  ldr x2, [x1]
  mov w0, #1
  cmn x2, #1
  b.ne fail
  str x2, [x1]
  TOUCH ECAM
  TOUCH ECAM + 0x8000
  TOUCH NOBODY
  /* A pair, and a write-back: an external abort, whose handler goes on. */
  mov w0, #2
  mov x19, #0
  LOAD x1, NOBODY
  ldp x2, x3, [x1]
  mov w0, #2
  cmp x19, #1
  b.ne fail
  stp x2, x3, [x1]
  mov w0, #3
  cmp x19, #2
  b.ne fail
  mov w0, #4
  ldr w2, [x1], #4
  cmp x19, #3
  b.ne fail
  mov w0, #0
fail:
  EXIT_WITH_W0

aborted:
  add x19, x19, #1
  mrs x9, elr_el1
  add x9, x9, #4
  msr elr_el1, x9
  eret

  .balign 2048
vectors:
  .rept 16
  b aborted
  .balign 128
  .endr
