/* SPDX-License-Identifier: Apache-2.0 */
/* Powers the machine off with the ACPI sleep control register. */
#include "payload.h"

PAYLOAD_ENTRY
  movb $SLEEP_S5_ENABLE, ACPI_SLEEP_CONTROL
halt:
  cli
  hlt
  jmp halt
