/* SPDX-License-Identifier: Apache-2.0 */
/* Ends with the status N of "exit=N" on its command line, or with 0. */
#include "payload.h"

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "exit=", 0
  EXIT_WITH_W0

FIND_NUMBER_BODY
