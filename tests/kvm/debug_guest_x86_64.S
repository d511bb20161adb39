/* SPDX-License-Identifier: Apache-2.0 */
/* Guest code that the debugger steps through: debug_x86_64_test.cc copies it
 * into a guest, and finds its labels by their distance from debug_guest. It
 * says how it ended as debugged_vcpu.h wants it. */
#include "tests/kvm/debug_guest_x86_64.h"

.macro LABEL name
.globl \name
\name:
.endm
#define AT(name) (DEBUG_GUEST_CODE + (name - debug_guest))

.section .rodata
.balign 16
LABEL debug_guest

/* The kernel's debug_regs selftest: an interrupt waits, and no step takes it. */
.code64
LABEL dg_pending
	mov $0x1b, %ecx			/* x2APIC mode */
	rdmsr
	or $0xc00, %eax
	wrmsr
	mov $0x80f, %ecx		/* the APIC is on */
	mov $0x1ff, %eax
	xor %edx, %edx
	wrmsr
	mov $0x83f, %ecx		/* to itself */
	mov $0xaa, %eax
	wrmsr
LABEL dg_pending0
	sti
LABEL dg_pending1
	xor %eax, %eax
LABEL dg_pending2
	cpuid
LABEL dg_pending3
	mov $0x6e0, %ecx		/* the TSC's deadline */
LABEL dg_pending4
	wrmsr
LABEL dg_pending5
	cli
LABEL dg_pending6
	jmp dg_through

LABEL dg_plain0
	mov $5, %eax
LABEL dg_plain1
	out %al, $0x80
LABEL dg_plain2
	in $0x80, %al
LABEL dg_plain3
	cpuid
LABEL dg_plain4
	nop
LABEL dg_plain5
	jmp dg_through

/* A device that nobody has. */
LABEL dg_device
	mov $DEBUG_GUEST_UNCLAIMED + 16, %ebx
LABEL dg_device0
	movl %eax, (%rbx)
LABEL dg_device1
	movl (%rbx), %eax
LABEL dg_device2
	nop
LABEL dg_device3
	jmp dg_through

LABEL dg_repeat
	mov $DEBUG_GUEST_CODE, %esi
	mov $DEBUG_GUEST_DATA, %edi
	mov $3, %ecx
	cld
LABEL dg_repeat0
	rep movsb
LABEL dg_repeat1
	jmp dg_through

LABEL dg_flags0
	pushfq
LABEL dg_flags1
	popfq
LABEL dg_flags2
	nop
LABEL dg_flags3
	jmp dg_through

LABEL dg_return
	mov %rsp, %rax
	pushq $DEBUG_GUEST_DATA_SELECTOR
	push %rax
	pushq $2
	pushq $DEBUG_GUEST_CODE_SELECTOR
	pushq $AT(dg_return1)
LABEL dg_return0
	iretq
	jmp dg_wrong
LABEL dg_return1
	nop
LABEL dg_return2
	jmp dg_through

/* Down to ring 3, and up again by a system call. */
LABEL dg_call
	mov $AT(dg_user0), %ecx
	mov $2, %r11d
LABEL dg_call0
	sysretq
LABEL dg_user0
	nop
LABEL dg_user1
	syscall
	jmp dg_wrong
LABEL dg_entry0
	nop
LABEL dg_entry1
	jmp dg_through

LABEL dg_interrupt0
	int $0x80
LABEL dg_interrupt1
	jmp dg_through
LABEL dg_on_interrupt
	incl DEBUG_GUEST_INTERRUPTS
	iretq

LABEL dg_int3
	int3
LABEL dg_int3_end
	jmp dg_through
LABEL dg_on_int3
	incl DEBUG_GUEST_INT3S
	iretq

LABEL dg_halt0
	hlt
LABEL dg_halt1
	nop
	jmp dg_wrong

LABEL dg_shadow
	mov $DEBUG_GUEST_DATA_SELECTOR, %eax
LABEL dg_shadow0
	mov %eax, %ss
LABEL dg_shadow1
	nop
LABEL dg_shadow2
	nop
LABEL dg_shadow3
	jmp dg_through

/* Its handler gives it an address that is there, and talks to a device. */
LABEL dg_fault
	mov $0x200000000, %rbx
LABEL dg_fault0
	mov (%rbx), %rax
LABEL dg_fault1
	jmp dg_through
	.skip 16
LABEL dg_on_page_fault
	out %al, $0x80
	add $8, %rsp
	mov $DEBUG_GUEST_DATA, %ebx
	iretq

LABEL dg_icebp
	.byte 0xf1
	jmp dg_through

/* A guest that steps itself: three times, as its handler has it. */
LABEL dg_own_steps
	pushfq
	orq $0x100, (%rsp)
	popfq
	nop
	nop
	nop
	nop
	jmp dg_through
LABEL dg_on_debug
	push %rax
	mov %dr6, %rax
	mov %rax, DEBUG_GUEST_DR6
	mov $0xffff0ff0, %eax
	mov %rax, %dr6
	incl DEBUG_GUEST_TRAPS
	cmpl $3, DEBUG_GUEST_TRAPS
	jne 1f
	andq $~0x100, 24(%rsp)
1:	pop %rax
	iretq

LABEL dg_write1
	movb %al, DEBUG_GUEST_DATA
LABEL dg_write2
	movw %ax, DEBUG_GUEST_DATA
LABEL dg_write4
	movl %eax, DEBUG_GUEST_DATA
LABEL dg_write8
	movq %rax, DEBUG_GUEST_DATA
LABEL dg_read8
	movq DEBUG_GUEST_DATA, %rcx
LABEL dg_beside
	movb %al, DEBUG_GUEST_DATA + 8
LABEL dg_beside_end
	jmp dg_through

LABEL dg_break0
	nop
LABEL dg_break1
	nop
LABEL dg_break2
	nop
LABEL dg_break3
	nop
	jmp dg_through

LABEL dg_through
	mov $DEBUG_GUEST_UNCLAIMED, %edx
	movl %eax, (%rdx)
	hlt
LABEL dg_wrong
	mov $DEBUG_GUEST_UNCLAIMED + 8, %edx
	movl %eax, (%rdx)
	hlt

.code32
LABEL dg_compat0
	mov $1, %eax
LABEL dg_compat1
	inc %eax
LABEL dg_compat2
	int $0x80
LABEL dg_compat3
	mov $DEBUG_GUEST_UNCLAIMED, %edx
	movl %eax, (%edx)
	hlt

.code16
LABEL dg_real0
	mov $1, %ax
LABEL dg_real1
	inc %ax
LABEL dg_real2
	out %al, $0x80
LABEL dg_real3
	jmp dg_real0
LABEL debug_guest_end

.section .note.GNU-stack, "", @progbits
