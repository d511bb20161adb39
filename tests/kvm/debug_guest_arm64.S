/* SPDX-License-Identifier: Apache-2.0 */
/* Guest code that the debugger steps through, at EL1 with its tables and its
 * vectors set up by debug_arm64_test.cc, which copies it into a guest and finds
 * its labels by their distance from debug_guest. X0 points at its data, X1 at
 * the unclaimed address that says how it ended (debugged_vcpu.h). */

.macro LABEL name
.globl \name
\name:
.endm

.section .rodata
.balign 2048
LABEL debug_guest

/* The vectors: what EL1 itself causes is written down, all else is wrong. */
LABEL dg_vectors
.rept 4
	b dg_wrong
	.balign 128
.endr
LABEL dg_synchronous
	b dg_on_exception
	.balign 128
.rept 11
	b dg_wrong
	.balign 128
.endr
LABEL dg_on_exception
	mrs x20, esr_el1
	mrs x21, elr_el1
	mrs x22, far_el1
	add x23, x23, #1
	lsr x24, x20, #26
	cmp x24, #0x15			/* SVC: ELR is behind it */
	b.eq 1f
	cmp x24, #0x3c			/* BRK: it is not */
	b.ne dg_wrong
	add x24, x21, #4
	msr elr_el1, x24
1:	eret

LABEL dg_steps0
	mov x2, #1
LABEL dg_steps1
	add x2, x2, #1
LABEL dg_steps2
	nop
LABEL dg_steps3
	b dg_through

LABEL dg_device0
	str w2, [x1, #16]
LABEL dg_device1
	ldr w2, [x1, #16]
LABEL dg_device2
	nop
LABEL dg_device3
	b dg_through

LABEL dg_breaks
.rept 16
	nop
.endr
	b dg_through

LABEL dg_brk
	brk #7
LABEL dg_brk_end
	b dg_through

LABEL dg_call
	svc #3
LABEL dg_call_end
	b dg_through

/* The debug registers, which KVM keeps from the guest while it is debugged. */
LABEL dg_trapped
	msr dbgbvr0_el1, x2
	mrs x3, dbgbvr0_el1
	cmp x2, x3
	b.ne dg_wrong
	msr dbgwvr0_el1, x2
	mrs x3, dbgwvr0_el1
	cmp x2, x3
	b.ne dg_wrong
	add x2, x2, #8
LABEL dg_trapped_end
	b dg_trapped

LABEL dg_exclusive
	ldxr w2, [x0]
	add w2, w2, #1
	stxr w3, w2, [x0]
LABEL dg_exclusive_end
	cbnz w3, dg_exclusive
LABEL dg_exclusive_done
	b dg_through

LABEL dg_write1
	strb w2, [x0]
LABEL dg_write2
	strh w2, [x0]
LABEL dg_write4
	str w2, [x0]
LABEL dg_write8
	str x2, [x0]
LABEL dg_read8
	ldr x2, [x0]
LABEL dg_write_end
	b dg_through

/* Bytes one by one, from three before the data to five behind. */
LABEL dg_bytes
.irp at, -3, -2, -1, 0, 1, 2, 3, 4, 5
	sturb w2, [x0, #\at]
.endr
LABEL dg_bytes_end
	b dg_through

/* Around 64 bytes of the data. */
LABEL dg_range0
	sturb w2, [x0, #-1]
LABEL dg_range1
	strb w2, [x0]
LABEL dg_range2
	str x2, [x0, #32]
LABEL dg_range3
	strb w2, [x0, #63]
LABEL dg_range4
	strb w2, [x0, #64]
LABEL dg_range5
	b dg_through

LABEL dg_through
	str wzr, [x1]
	b .
LABEL dg_wrong
	str wzr, [x1, #8]
	b .
LABEL debug_guest_end

.section .note.GNU-stack, "", @progbits
