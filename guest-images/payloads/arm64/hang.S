/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for ever for an interrupt that cannot come. */
#include "payload.h"

PAYLOAD_ENTRY
  msr daifset, #0xf
  HALT_FOR_EVER
