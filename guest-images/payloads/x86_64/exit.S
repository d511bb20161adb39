/* SPDX-License-Identifier: Apache-2.0 */
/* Exits with N of "exit=N" on its command line, 0 without it. */
#include "payload.h"

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "exit=", 0
  EXIT_WITH_EAX
FIND_NUMBER_BODY
