/* SPDX-License-Identifier: Apache-2.0 */
/* What 32-bit payloads share: the entry, the command line, the exit. Only plain
   integer instructions, because some hosts emulate ring 0. The same addresses
   as in arch/x86_64/layout.h. */
#ifndef KVMLET_GUEST_IMAGES_PAYLOADS_X86_64_PAYLOAD_H_
#define KVMLET_GUEST_IMAGES_PAYLOADS_X86_64_PAYLOAD_H_

#define COM1 0x3f8
#define COM1_LSR 0x3fd
#define LSR_THR_EMPTY 0x20
#define EXIT_PORT 0xf4
#define PVPANIC_PORT 0x505
#define I8042_COMMAND 0x64
#define I8042_PULSE_RESET 0xfe
#define UNUSED_PORT 0x80
#define UNCLAIMED_MMIO 0xf8000000
#define ECAM 0xe0000000
#define ACPI_GED 0xfeb00000
#define ACPI_SLEEP_CONTROL (ACPI_GED + 0x10)
#define ACPI_RESET (ACPI_GED + 0x12)
#define SLEEP_S5_ENABLE ((5 << 2) | (1 << 5))
#define LOCAL_APIC 0xfee00000

/* The file's header and `start`, after which %esi is the command line. */
.macro PAYLOAD_ENTRY
#ifdef PAYLOAD_PVH
  .section .note.Xen, "a", @note
  .balign 4
  .long 4, 8, 18
  .asciz "Xen"
  .quad start
#else
  .section .multiboot, "a"
  .balign 4
  .long 0x1badb002, 0, -0x1badb002
#endif
  .text
  .code32
  .globl start
start:
  cld
  movl $stack_top, %esp
#ifdef PAYLOAD_PVH
  movl 24(%ebx), %esi
#else
  movl 16(%ebx), %esi
#endif
  .pushsection .bss
  .balign 16
  .skip 4096
stack_top:
  .popsection
.endm

/* %eax = the decimal number behind `key` in the command line at %esi, or
   `default`. Clobbers %ecx, %edx, %edi. */
.macro COMMAND_LINE_NUMBER key, default
  .pushsection .rodata
9: .asciz "\key"
  .popsection
  movl $9b, %edi
  movl $\default, %eax
  call find_number
.endm

.macro FIND_NUMBER_BODY
find_number:
  pushl %esi
1:cmpb $0, (%esi)
  je 5f
  movl %esi, %edx
  movl %edi, %ecx
2:cmpb $0, (%ecx)
  je 3f
  pushl %eax
  movb (%ecx), %al
  cmpb %al, (%edx)
  popl %eax
  jne 4f
  incl %ecx
  incl %edx
  jmp 2b
4:incl %esi
  jmp 1b
3:xorl %eax, %eax
6:movzbl (%edx), %ecx
  subl $'0', %ecx
  cmpl $9, %ecx
  ja 5f
  imull $10, %eax, %eax
  addl %ecx, %eax
  incl %edx
  jmp 6b
5:popl %esi
  ret
.endm

/* Leaves with the status in %eax; halts where the exit device does not end
   the machine at once. */
.macro EXIT_WITH_EAX
  movw $EXIT_PORT, %dx
  outl %eax, %dx
7:cli
  hlt
  jmp 7b
.endm

.macro EXIT status
  movl $\status, %eax
  EXIT_WITH_EAX
.endm

#endif
