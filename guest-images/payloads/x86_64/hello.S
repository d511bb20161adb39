/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a line to COM1, then exits with 0. */
#include "payload.h"

PAYLOAD_ENTRY
  movl $message, %esi
print:
  lodsb
  testb %al, %al
  jz done
  movb %al, %bl
wait:
  movw $COM1_LSR, %dx
  inb %dx, %al
  testb $LSR_THR_EMPTY, %al
  jz wait
  movw $COM1, %dx
  movb %bl, %al
  outb %al, %dx
  jmp print
done:
  EXIT 0

  .section .rodata
message:
  .asciz "hello from the guest\n"
