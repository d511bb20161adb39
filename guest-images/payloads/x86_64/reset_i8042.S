/* SPDX-License-Identifier: Apache-2.0 */
/* Resets the machine with the keyboard controller's pulse. */
#include "payload.h"

PAYLOAD_ENTRY
  movb $I8042_PULSE_RESET, %al
  outb %al, $I8042_COMMAND
halt:
  cli
  hlt
  jmp halt
