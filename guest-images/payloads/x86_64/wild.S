/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile guest: reads and writes addresses and ports that nobody has, with
   every width and across the ends of those that somebody has, and configures
   every PCI function through both doors with nonsense. Exits with 0 if the
   monitor is still there. Runs in long mode for the eight-byte accesses. */
#include "payload.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc

  .text
  .code64
  .globl start
start:
  movl $0xffffffff, %r8d
  xorl %ebx, %ebx
next_address:
  movl addresses(,%rbx,4), %edi
  testl %edi, %edi
  jz ports
  call touch
  incl %ebx
  jmp next_address

/* Every width at %rdi and, unaligned, at the four bytes after it. */
touch:
  movl $5, %ecx
1:movb %r8b, (%rdi)
  movb (%rdi), %al
  movw %r8w, (%rdi)
  movw (%rdi), %ax
  movl %r8d, (%rdi)
  movl (%rdi), %eax
  movq %r8, (%rdi)
  movq (%rdi), %rax
  incq %rdi
  decl %ecx
  jnz 1b
  ret

/* Reads of every port below 0x1000, then reads and writes of every width on
   ports that nobody has. Ports that end the machine are only read. */
ports:
  xorl %edx, %edx
2:inb %dx, %al
  incl %edx
  cmpl $0x1000, %edx
  jne 2b
  xorl %ebx, %ebx
next_port:
  movzwl port_list(,%rbx,2), %edx
  testl %edx, %edx
  jz config
  movl %r8d, %eax
  outb %al, %dx
  outw %ax, %dx
  outl %eax, %dx
  inb %dx, %al
  inw %dx, %ax
  inl %dx, %eax
  incl %ebx
  jmp next_port

/* 0xcf8: every function of bus 0 at a few registers, and addresses without
   the enable bit, unaligned or narrow. */
config:
  xorl %ebx, %ebx
next_function:
  movl %ebx, %esi
  shll $8, %esi
  orl $0x80000000, %esi
  call config_registers
  incl %ebx
  cmpl $256, %ebx
  jne next_function
  xorl %esi, %esi
  call config_registers
  movl $0xffffff03, %esi
  call config_registers
  movl $CONFIG_ADDRESS, %edx
  movb $0x80, %al
  outb %al, %dx
  outw %ax, %dx
  incl %edx
  outl %eax, %dx
  inl %dx, %eax

/* ECAM: registers of every function of bus 0, also beyond 256 bytes, and the
   last bytes of the window. */
ecam:
  xorl %ebx, %ebx
next_ecam:
  movl %ebx, %edi
  shll $12, %edi
  addl $ECAM, %edi
  movl $0xffffffff, 0x10(%rdi)
  movl 0x10(%rdi), %eax
  movl $0xffffffff, 0x24(%rdi)
  movb $0xff, 0x34(%rdi)
  movw $0xffff, 0x3e(%rdi)
  movl $0xffffffff, 0x40(%rdi)
  movl $0xffffffff, 0xffc(%rdi)
  movq 0xffc(%rdi), %rax
  incl %ebx
  cmpl $256, %ebx
  jne next_ecam
  movl $ECAM + 0x0ffffffc, %edi
  movl $0xffffffff, (%rdi)
  movl (%rdi), %eax
  xorl %eax, %eax
  EXIT_WITH_EAX

/* Writes and reads around each data port for the address in %esi. */
config_registers:
  movl $CONFIG_ADDRESS, %edx
  movl %esi, %eax
  outl %eax, %dx
  movl $CONFIG_DATA, %edx
  inl %dx, %eax
  incl %edx
  inl %dx, %eax
  inw %dx, %ax
  addl $2, %edx
  inw %dx, %ax
  inb %dx, %al
  movl %esi, %eax
  orl $0x10, %eax
  movl $CONFIG_ADDRESS, %edx
  outl %eax, %dx
  movl $0xffffffff, %eax
  movl $CONFIG_DATA, %edx
  outl %eax, %dx
  inl %dx, %eax
  incl %edx
  outw %ax, %dx
  ret

  .section .rodata
  .balign 4
/* Unclaimed, just before and at the ends of what is claimed, and the last
   bytes below 4 GiB that are not KVM's own. */
addresses:
  .long UNCLAIMED_MMIO
  .long UNCLAIMED_MMIO + 0xffe
  .long 0xdffffffa
  .long 0xf0000000
  .long ACPI_GED - 8
  .long ACPI_GED + 0x40
  .long ACPI_GED + 0xffc
  .long 0xfeb01000
  .long 0xfed00000
  .long 0xfffffff0
  .long 0
  .balign 2
port_list:
  .word 0x80, 0x402, 0x510, 0x511, 0x600, 0x604, 0xb004
  .word 0xfff, 0x1000, 0xfff0, 0xffff
  .word 0
