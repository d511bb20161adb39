// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/monitor_commands.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "vmm/base/exits_text.h"

namespace kvmlet {
namespace {

struct Call {
  Debugger& debugger;
  size_t vcpu;
  std::vector<std::string> words;  // without the command itself
};

MonitorResult Text(std::string text) { return {.text = std::move(text)}; }
MonitorResult Wrong(std::string text) {
  return {.ok = false, .text = absl::StrCat(text, "\n")};
}

std::optional<uint64_t> Number(const Call& call, size_t at) {
  if (at >= call.words.size()) return std::nullopt;
  return NumberOf(call.words[at]);
}

MonitorResult Caps(const Call& call) {
  const arch::DebugCaps& caps = call.debugger.arch().caps();
  const auto word = [](bool on) { return on ? "yes" : "no"; };
  return Text(absl::StrFormat(
      "What this host's KVM does, as probed at the start:\n"
      "single step                 %s\n"
      "steps without interrupts    %s\n"
      "breakpoints in memory       %s\n"
      "hardware breakpoints        %s, %d slots%s\n"
      "watchpoints                 %s\n",
      word(caps.single_step), word(caps.block_interrupts),
      caps.software_breakpoints ? "yes" : "no, they use hardware slots",
      word(caps.execute), caps.execute_slots,
      caps.shared_slots ? ", shared with watchpoints" : "", word(caps.watch)));
}

MonitorResult CatchOff(const Call& call) {
  ExitCatches& catches = call.debugger.catches();
  if (call.words.size() == 1) {
    catches.Clear();
    return Text(catches.Describe());
  }
  const std::optional<uint64_t> number = Number(call, 1);
  if (!number || *number > UINT32_MAX ||
      !catches.Remove(static_cast<uint32_t>(*number))) {
    return Wrong(absl::StrCat("catch: there is no ", call.words[1],
                              "; monitor catch lists them"));
  }
  return Text(catches.Describe());
}

MonitorResult Catch(const Call& call) {
  ExitCatches& catches = call.debugger.catches();
  if (call.words.empty()) {
    const std::string& last = call.debugger.last_caught();
    return Text(
        absl::StrCat(catches.Describe(), last.empty() ? "" : "last: ", last));
  }
  if (call.words[0] == "off") return CatchOff(call);
  const absl::StatusOr<ExitCatch> wanted = ExitCatches::Parse(call.words);
  if (!wanted.ok()) {
    return Wrong(absl::StrCat("catch: ", wanted.status().message()));
  }
  const absl::StatusOr<uint32_t> number = catches.Add(*wanted);
  if (!number.ok()) {
    return Wrong(absl::StrCat("catch: ", number.status().message()));
  }
  return Text(absl::StrCat(*number, ": ", wanted->Text(), "\n"));
}

MonitorResult Stats(const Call& call) {
  const DebugStats& stats = call.debugger.stats();
  return Text(absl::StrFormat(
      "debug exits %d, steps %d, hits %d, conditions judged %d, given back to "
      "the guest %d\n",
      stats.exits.load(), stats.steps.load(), stats.hits.load(),
      stats.conditions.load(), stats.guests_own.load()));
}

MonitorResult Exits(const Call& call) {
  return Text(ExitsText(call.debugger.target().CountedExits()));
}

MonitorResult Hwbp(const Call& call) {
  return Text(call.debugger.breakpoints().Describe());
}

MonitorResult Vcpus(const Call& call) {
  std::string text;
  for (size_t i = 0; i < call.debugger.vcpu_count(); ++i) {
    call.debugger.OnVcpu(i, [&](const KvmVcpu& kvm) {
      const absl::StatusOr<uint64_t> pc =
          call.debugger.arch().ProgramCounter(kvm);
      absl::StrAppendFormat(&text, "vCPU %d: at %#x, %s\n", i, pc.value_or(0),
                            call.debugger.arch().DescribeVcpu(kvm));
    });
  }
  return Text(std::move(text));
}

MonitorResult Walk(const Call& call) {
  const std::optional<uint64_t> address = Number(call, 0);
  if (!address) return Wrong("walk: which address?");
  const auto space = call.debugger.Space(call.vcpu);
  if (!space.ok()) return Wrong(std::string(space.status().message()));
  return Text((*space)->Explain(call.debugger.target().memory(), *address));
}

MonitorResult PhysicalAddress(const Call& call) {
  const std::optional<uint64_t> address = Number(call, 0);
  if (!address) return Wrong("pa: which address?");
  const auto space = call.debugger.Space(call.vcpu);
  if (!space.ok()) return Wrong(std::string(space.status().message()));
  const auto page =
      (*space)->Translate(call.debugger.target().memory(), *address);
  if (page) return Text(absl::StrFormat("%#x\n", page->at.value));
  return Wrong(absl::StrFormat(
      "pa: %#x is not mapped; monitor walk says where the walk ends",
      *address));
}

// Physical memory, without changing how gdb's own commands read.
MonitorResult Physical(const Call& call) {
  constexpr uint64_t kMost = 4096;
  const std::optional<uint64_t> address = Number(call, 0);
  const uint64_t length = Number(call, 1).value_or(64);
  if (!address) return Wrong("phys: which address?");
  if (length > kMost) return Wrong("phys: at most 4096 bytes");
  std::vector<std::byte> bytes(length);
  if (!call.debugger.breakpoints().Read(Gpa{*address}, bytes)) {
    return Wrong("phys: not in RAM");
  }
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 16 == 0) absl::StrAppendFormat(&text, "%016x:", *address + i);
    absl::StrAppendFormat(&text, " %02x", static_cast<int>(bytes[i]));
    if (i % 16 == 15 || i + 1 == bytes.size()) text.push_back('\n');
  }
  return Text(std::move(text));
}

MonitorResult Registers(const Call& call) {
  std::string text;
  const arch::Debug& arch = call.debugger.arch();
  call.debugger.OnVcpu(call.vcpu, [&](const KvmVcpu& kvm) {
    for (size_t i = 0; i < arch.registers().size(); ++i) {
      const auto value = arch.ReadRegister(kvm, i);
      absl::StrAppendFormat(&text, "%-13s", arch.registers()[i].name);
      if (!value.ok()) {
        absl::StrAppend(&text, "unavailable\n");
        continue;
      }
      absl::StrAppend(&text, "0x");
      for (auto byte = value->rbegin(); byte != value->rend(); ++byte) {
        absl::StrAppendFormat(&text, "%02x", static_cast<int>(*byte));
      }
      text.push_back('\n');
    }
  });
  return Text(std::move(text));
}

MonitorResult StepInterrupts(const Call& call) {
  const std::string word = call.words.empty() ? "" : call.words[0];
  if (word != "irq" && word != "noirq") return Wrong("sstep: irq or noirq?");
  call.debugger.set_step_interrupts(word == "irq");
  return Text(absl::StrCat("steps ", word == "irq" ? "let" : "keep",
                           " interrupts ", word == "irq" ? "in" : "out", "\n"));
}

MonitorResult Reset(const Call& call) {
  const absl::Status status = call.debugger.target().ResetFromDebugger();
  if (!status.ok()) return Wrong(std::string(status.message()));
  return Text("the guest is at its start again\n");
}

MonitorResult Kaslr(const Call& call) {
  const absl::StatusOr<std::string> text =
      call.debugger.target().KernelOffsetText(call.vcpu);
  if (!text.ok()) {
    return Wrong(absl::StrCat("kaslr: ", text.status().message()));
  }
  return Text(*text);
}

MonitorResult Quit(const Call&) {
  return {.text = "the machine ends\n", .quit = true};
}

struct Command {
  const char* name;
  const char* help;
  MonitorResult (*run)(const Call&);
};
constexpr Command kCommands[] = {
    {"caps", "what this host's KVM can do for a debugger", Caps},
    {"catch",
     "[EXIT | io|mmio [FIRST[-LAST]] [read|write] | off [NUMBER]]: stop when a "
     "vCPU leaves for that",
     Catch},
    {"exits", "why each vCPU left the guest, and how often", Exits},
    {"hwbp", "breakpoints, where they live, and why one was refused", Hwbp},
    {"kaslr", "how far the kernel is from the addresses of --symbols", Kaslr},
    {"pa", "ADDRESS: its physical one", PhysicalAddress},
    {"phys", "ADDRESS [LENGTH]: bytes of physical memory", Physical},
    {"quit", "end the machine", Quit},
    {"regs", "every register of this vCPU", Registers},
    {"reset", "reset the guest; breakpoints stay", Reset},
    {"sstep", "irq|noirq: whether steps let interrupts in", StepInterrupts},
    {"stats", "counters of debug exits", Stats},
    {"vcpus", "where each vCPU stands", Vcpus},
    {"walk", "ADDRESS: how it becomes a physical one", Walk},
};

MonitorResult Help() {
  std::string text;
  for (const Command& command : kCommands) {
    absl::StrAppendFormat(&text, "monitor %-6s %s\n", command.name,
                          command.help);
  }
  return Text(std::move(text));
}

}  // namespace

MonitorResult RunMonitorCommand(std::string_view line, Debugger& debugger,
                                size_t vcpu) {
  std::vector<std::string> words =
      absl::StrSplit(absl::string_view(line.data(), line.size()),
                     absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  if (words.empty() || words[0] == "help") return Help();
  const std::string name = words[0];
  words.erase(words.begin());
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    return command.run({.debugger = debugger, .vcpu = vcpu, .words = words});
  }
  return Wrong(
      absl::StrCat("'", name, "' is no command; monitor help names them all"));
}

}  // namespace kvmlet
