/* SPDX-License-Identifier: Apache-2.0 */
/* Starts every other processor with INIT and SIPI, counts those that come up
   and exits with the number of processors. With "cpus=N" it waits until N are
   there; either way it gives up after a while, so that a processor that never
   starts shows in the status. The local APIC is in xAPIC mode. */
#include "payload.h"

#define TRAMPOLINE 0x8000
#define COUNTER_OFFSET 0xff0
#define ICR_INIT_ALL_OTHERS 0xc4500
#define ICR_STARTUP_ALL_OTHERS (0xc4600 | TRAMPOLINE >> 12)
#define ICR_PENDING 0x1000
#define POLLS 20000

PAYLOAD_ENTRY
  COMMAND_LINE_NUMBER "cpus=", 0
  movl %eax, %ebp
  movl $trampoline, %esi
  movl $TRAMPOLINE, %edi
  movl $(trampoline_end - trampoline), %ecx
  rep movsb
  movl $0, TRAMPOLINE + COUNTER_OFFSET
  /* Software enable, spurious vector 0xff. */
  movl $0x1ff, LOCAL_APIC + 0xf0
  movl $ICR_INIT_ALL_OTHERS, %eax
  call send
  call pause
  movl $ICR_STARTUP_ALL_OTHERS, %eax
  call send
  call pause
  /* The second SIPI of the specification; a running processor ignores it. */
  movl $ICR_STARTUP_ALL_OTHERS, %eax
  call send
  movl $POLLS, %ecx
poll:
  movl TRAMPOLINE + COUNTER_OFFSET, %eax
  incl %eax
  cmpl %ebp, %eax
  je leave
  outb %al, $UNUSED_PORT
  decl %ecx
  jnz poll
leave:
  movl TRAMPOLINE + COUNTER_OFFSET, %eax
  incl %eax
  EXIT_WITH_EAX

send:
  movl %eax, LOCAL_APIC + 0x300
1:testl $ICR_PENDING, LOCAL_APIC + 0x300
  jnz 1b
  ret

/* Some hundred exits: longer than the 200 microseconds between the IPIs. */
pause:
  movl $200, %ecx
2:outb %al, $UNUSED_PORT
  decl %ecx
  jnz 2b
  ret

FIND_NUMBER_BODY

/* Runs in real mode at TRAMPOLINE, CS = TRAMPOLINE >> 4. */
  .code16
trampoline:
  cli
  movw %cs, %ax
  movw %ax, %ds
  lock incl COUNTER_OFFSET
3:hlt
  jmp 3b
trampoline_end:
  .code32
