/* SPDX-License-Identifier: Apache-2.0 */
/* Resets the machine with the ACPI reset register. */
#include "payload.h"

PAYLOAD_ENTRY
  movb $1, ACPI_RESET
halt:
  cli
  hlt
  jmp halt
