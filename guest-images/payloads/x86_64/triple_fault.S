/* SPDX-License-Identifier: Apache-2.0 */
/* Faults without an interrupt table: a triple fault. */
#include "payload.h"

PAYLOAD_ENTRY
  lidt empty_table
  ud2

  .section .rodata
empty_table:
  .word 0
  .long 0
