/* SPDX-License-Identifier: Apache-2.0 */
/* Writes "count=N" times (100000 without it) to an address nobody has. */
#include "payload.h"

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "count=", 100000
  movl %eax, %ecx
  testl %ecx, %ecx
  jz done
next:
  movl %eax, UNCLAIMED_MMIO
  decl %ecx
  jnz next
done:
  EXIT 0
FIND_NUMBER_BODY
