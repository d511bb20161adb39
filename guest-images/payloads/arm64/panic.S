/* SPDX-License-Identifier: Apache-2.0 */
/* Reports a panic to the pvpanic device. */
#include "payload.h"

PAYLOAD_ENTRY
  LOAD x1, PVPANIC
  mov w0, #1
  strb w0, [x1]
  HALT_FOR_EVER
