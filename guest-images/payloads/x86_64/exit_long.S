/* SPDX-License-Identifier: Apache-2.0 */
/* Entered in long mode as a Linux vmlinux would be: exits with N of "exit=N"
   on the command line that the zero page in %rsi names; 0 without it, 1 when
   the zero page is not one. */
#include "payload.h"

  .text
  .code64
  .globl start
start:
  movl $1, %eax
  cmpl $0x53726448, 0x202(%rsi)
  jne leave
  xorl %eax, %eax
  movl 0x228(%rsi), %ebx
scan:
  cmpb $0, (%rbx)
  je leave
  cmpl $0x74697865, (%rbx) /* "exit" */
  jne 1f
  cmpb $'=', 4(%rbx)
  je number
1:incq %rbx
  jmp scan
number:
  addq $5, %rbx
2:movzbl (%rbx), %ecx
  subl $'0', %ecx
  cmpl $9, %ecx
  ja leave
  imull $10, %eax, %eax
  addl %ecx, %eax
  incq %rbx
  jmp 2b
leave:
  EXIT_WITH_EAX
