/* SPDX-License-Identifier: Apache-2.0 */
/* Halts for ever with interrupts off. */
#include "payload.h"

PAYLOAD_ENTRY
halt:
  cli
  hlt
  jmp halt
