/* SPDX-License-Identifier: Apache-2.0 */
/* Burns a processor for ever. */
#include "payload.h"

PAYLOAD_ENTRY
1:b 1b
