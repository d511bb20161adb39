/* SPDX-License-Identifier: Apache-2.0 */
/* Resets through PSCI. With "boots=N" it prints a line at each boot and ends
   with status N at the N-th, which it knows from the power button's GPIO
   controller being back at power-on and from the clock, which no reset
   touches: its load register counts the boots. */
#include "payload.h"

#define RTC_LOAD 0x09010008

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "boots=", 1
  mov w21, w0
  LOAD x1, GPIO
  ldr w2, [x1, #0x400]
  cbnz w2, dirty
  mov w2, #0xff
  str w2, [x1, #0x400]
  LOAD x1, UART
  mov w2, #'b'
  str w2, [x1]
  mov w2, #'\n'
  str w2, [x1]
  LOAD x1, RTC_LOAD
  ldr w0, [x1]
  add w0, w0, #1
  str w0, [x1]
  cmp w0, w21
  b.hs 2f
  LOAD x0, PSCI_SYSTEM_RESET
  hvc #0
  HALT_FOR_EVER
2:EXIT_WITH_W0
dirty:
  mov w0, #62
  EXIT_WITH_W0

FIND_NUMBER_BODY
