/* SPDX-License-Identifier: Apache-2.0 */
/* Writes "count=N" times (100000 without it) to a port nobody has. */
#include "payload.h"

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "count=", 100000
  movl %eax, %ecx
  testl %ecx, %ecx
  jz done
next:
  outb %al, $UNUSED_PORT
  decl %ecx
  jnz next
done:
  EXIT 0
FIND_NUMBER_BODY
