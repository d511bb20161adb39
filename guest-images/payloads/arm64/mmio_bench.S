/* SPDX-License-Identifier: Apache-2.0 */
/* Writes "count=N" times to an address that nobody has, and ends with 0. */
#include "payload.h"

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "count=", 1000
  LOAD x1, NOBODY
1:str w0, [x1]
  subs w0, w0, #1
  b.ne 1b
  EXIT_WITH_W0

FIND_NUMBER_BODY
