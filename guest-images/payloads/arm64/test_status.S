/* SPDX-License-Identifier: Apache-2.0 */
/* Ends as kvm-unit-tests do on arm64: prints "EXIT: STATUS=N", with the two
   digits of "status=N" on its command line, and powers off. */
#include "payload.h"

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "status=", 1
  mov w21, w0
  LOAD x1, UART
  adr x2, text
1:ldrb w3, [x2], #1
  cbz w3, 2f
  strb w3, [x1]
  b 1b
2:mov w4, #10
  udiv w5, w21, w4
  msub w6, w5, w4, w21
  cbz w5, 3f
  add w5, w5, #'0'
  strb w5, [x1]
3:add w6, w6, #'0'
  strb w6, [x1]
  mov w6, #'\n'
  strb w6, [x1]
  LOAD x0, PSCI_SYSTEM_OFF
  hvc #0
  HALT_FOR_EVER
text:
  .asciz "\nEXIT: STATUS="
  .balign 4

FIND_NUMBER_BODY
