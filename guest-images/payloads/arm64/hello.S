/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a line on the serial port, which it never sets up, and ends. */
#include "payload.h"

PAYLOAD_ENTRY
  LOAD x1, UART
  adr x2, text
1:ldrb w3, [x2], #1
  cbz w3, 2f
  str w3, [x1]
  b 1b
2:mov w0, #0
  EXIT_WITH_W0
text:
  .asciz "hello from the guest\n"
