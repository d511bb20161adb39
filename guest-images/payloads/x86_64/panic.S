/* SPDX-License-Identifier: Apache-2.0 */
/* Reports a panic to pvpanic, then halts. */
#include "payload.h"

PAYLOAD_ENTRY
  movw $PVPANIC_PORT, %dx
  movb $1, %al
  outb %al, %dx
halt:
  cli
  hlt
  jmp halt
