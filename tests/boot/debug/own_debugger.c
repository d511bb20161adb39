// SPDX-License-Identifier: Apache-2.0
// A guest's own debugger and what it debugs: single steps, a hardware
// watchpoint and a breakpoint instruction, round after round, a line each:
//   own N steps=yes watchpoint=yes breakpoint=yes
// Run in a guest; for ever, its reader judges.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <asm/ptrace.h>
#include <elf.h>
#endif

static volatile uint64_t watched;

#if defined(__x86_64__)
static uint64_t program_counter(pid_t child) {
  struct user_regs_struct regs;
  ptrace(PTRACE_GETREGS, child, 0, &regs);
  return regs.rip;
}
static void watch(pid_t child, int on) {
  const size_t registers = offsetof(struct user, u_debugreg);
  // Slot 0: writes (1 << 16) of 8 bytes (2 << 18).
  ptrace(PTRACE_POKEUSER, child, registers, on ? &watched : 0);
  ptrace(PTRACE_POKEUSER, child, registers + 7 * sizeof(long),
         on ? 1L | 1L << 16 | 2L << 18 : 0L);
}
static void break_here(void) { __asm__ volatile("int3"); }
static void pass_break(pid_t child) { (void)child; }
#elif defined(__aarch64__)
static struct user_pt_regs registers_of(pid_t child) {
  struct user_pt_regs regs;
  struct iovec iov = {&regs, sizeof(regs)};
  ptrace(PTRACE_GETREGSET, child, NT_PRSTATUS, &iov);
  return regs;
}
static uint64_t program_counter(pid_t child) { return registers_of(child).pc; }
static void watch(pid_t child, int on) {
  struct user_hwdebug_state state;
  memset(&state, 0, sizeof(state));
  // Stores (2 << 3) to 8 bytes (0xff << 5).
  state.dbg_regs[0].addr = on ? (uint64_t)&watched : 0;
  state.dbg_regs[0].ctrl = on ? 1 | 2 << 3 | 0xff << 5 : 0;
  struct iovec iov = {
      &state, offsetof(struct user_hwdebug_state, dbg_regs) + sizeof(uint64_t) * 2};
  if (ptrace(PTRACE_SETREGSET, child, NT_ARM_HW_WATCH, &iov) != 0) {
    perror("NT_ARM_HW_WATCH");
  }
}
static void break_here(void) { __asm__ volatile("brk #0"); }
static void pass_break(pid_t child) {
  struct user_pt_regs regs = registers_of(child);
  struct iovec iov = {&regs, sizeof(regs)};
  regs.pc += 4;
  ptrace(PTRACE_SETREGSET, child, NT_PRSTATUS, &iov);
}
#else
#error "own_debugger.c: how does this architecture break?"
#endif

// The si_code of the stop that follows; 0 when it is none of a debugger's.
static int go_on(pid_t child, int request) {
  siginfo_t info;
  int status;
  if (ptrace(request, child, 0, 0) != 0) return 0;
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
      WSTOPSIG(status) != SIGTRAP) {
    return 0;
  }
  if (ptrace(PTRACE_GETSIGINFO, child, 0, &info) != 0) return 0;
  return info.si_code;
}

static void debuggee(void) {
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  // More than the steps that are made, less than gets old.
  for (uint64_t i = 0; i < 300; ++i) __asm__ volatile("" ::"r"(i));
  watched = 1;
  break_here();
  _exit(42);
}

static void round_of(int number) {
  int status;
  int steps = 1;
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) debuggee();
  if (child < 0 || waitpid(child, &status, 0) != child) return;
  for (int i = 0; i < 200; ++i) {
    const uint64_t before = program_counter(child);
    const int code = go_on(child, PTRACE_SINGLESTEP);
    if (code != TRAP_TRACE || program_counter(child) == before) steps = 0;
  }
  watch(child, 1);
  int code = go_on(child, PTRACE_CONT);
  const int watchpoint = code == TRAP_HWBKPT;
  watch(child, 0);
  if (watchpoint) code = go_on(child, PTRACE_CONT);
  const int breakpoint = code == TRAP_BRKPT || code == SI_KERNEL;
  pass_break(child);
  ptrace(PTRACE_CONT, child, 0, 0);
  const int ended = waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                    WEXITSTATUS(status) == 42;
  printf("own %d steps=%s watchpoint=%s breakpoint=%s\n", number,
         steps ? "yes" : "no", watchpoint ? "yes" : "no",
         breakpoint && ended ? "yes" : "no");
}

int main(void) {
  for (int number = 1;; ++number) round_of(number);
}
