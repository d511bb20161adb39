/* SPDX-License-Identifier: Apache-2.0 */
/* Powers off through PSCI. */
#include "payload.h"

PAYLOAD_ENTRY
  LOAD x0, PSCI_SYSTEM_OFF
  hvc #0
  HALT_FOR_EVER
