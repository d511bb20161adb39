// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/man_page.h"

#include <algorithm>
#include <string_view>

#include "vmm/cli/commands.h"
#include "vmm/cli/help.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

// The page's tools warn when there is none.
constexpr std::string_view kDate = "2026-11-20";

// A dash that people type is \-.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// Lines of running text. None begins with what troff takes for a request.
std::string Text(std::string_view text) {
  std::string out;
  for (const char c : Wrapped(Escaped(text), 0)) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += "\\&";
    }
    out += c;
  }
  return out;
}

std::string Bold(std::string_view text) {
  return Cat({"\\fB", Escaped(text), "\\fR"});
}

std::string Section(std::string_view title) {
  return Cat({".SH ", title, "\n"});
}

// A tagged paragraph; `tag` is troff already.
std::string Tagged(std::string_view tag, std::string_view text) {
  return Cat({".TP\n", tag, "\n", Text(text)});
}

// Capital letters are what the reader replaces: "\fIPATH\fR[,\fIKEY\fR...]".
std::string Placeholders(std::string_view syntax) {
  const auto capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  std::string out;
  while (!syntax.empty()) {
    const bool placeholder = capital(syntax.front());
    size_t size = 1;
    while (size < syntax.size() && capital(syntax[size]) == placeholder) {
      ++size;
    }
    const std::string text = Escaped(syntax.substr(0, size));
    // "2M|1G" is typed as it stands.
    const bool italic =
        placeholder && (size > 1 || syntax.size() == 1 || syntax[1] == '[');
    out += italic ? Cat({"\\fI", text, "\\fR"}) : text;
    syntax.remove_prefix(size);
  }
  return out;
}

std::string FlagTag(const FlagSpec& flag) {
  if (flag.type == FlagType::kBool) return Bold(FlagSyntax(flag));
  const std::string name = Bold(Cat({"--", flag.name}));
  if (flag.type == FlagType::kOptionalValue) {
    return Cat({name, " [", Placeholders(flag.value), "]"});
  }
  return Cat({name, " ", Placeholders(flag.value)});
}

std::string Flags(const CommandSpec& command) {
  std::string out;
  std::string_view section;
  for (const FlagSpec& flag : command.flags) {
    if (flag.section != section && command.name == "run") {
      out += Cat({section.empty() ? "" : ".PP\n", Bold(flag.section), "\n"});
    }
    section = flag.section;
    out += Tagged(FlagTag(flag), FlagText(flag));
    if (flag.keys.empty()) continue;
    out += ".RS\n";
    for (const KeySpec& key : flag.keys) {
      const std::string value =
          key.value.empty() ? "" : Cat({"=", Placeholders(key.value)});
      out += Tagged(Cat({Bold(key.name), value}), key.text);
    }
    out += ".RE\n";
  }
  return out;
}

std::string Paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += Cat({out.empty() ? "" : ".PP\n", Text(text.substr(0, end))});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string Synopsis() {
  std::string lines;
  for (const CommandSpec& command : Commands()) {
    lines +=
        Cat({lines.empty() ? "" : ".br\n", Bold(Cat({"kvmlet ", command.name})),
             command.operands.empty() ? "" : " ",
             Placeholders(command.operands), "\n"});
  }
  return Section("SYNOPSIS") + lines;
}

struct Example {
  std::string_view text;
  std::string_view command;
};

constexpr Example kExamples[] = {
    {"Boot a kernel to a shell on this terminal:",
     "kvmlet run --kernel vmlinuz --initrd initrd.img"},
    {"Four vCPUs, 2 GiB, a disk that the guest cannot write, a network without "
     "privileges:",
     "kvmlet run --kernel vmlinuz --cpus 4 --memory 2G \\\n"
     "    --disk root.img,ro --append root=/dev/vda --net passt"},
    {"Two NUMA nodes:",
     "kvmlet run --kernel vmlinuz --cpus 4 --memory 1G \\\n"
     "    --numa cpus=0-1,memory=512M --numa cpus=2-3,memory=512M"},
    {"Memory that grows and shrinks, from 1 GiB to 3 and back to none:",
     "kvmlet run --kernel vmlinuz --virtio-mem id=vm0,max=8G,size=1G \\\n"
     "    --append memhp_default_state=online_movable --qmp unix:vm.sock\n"
     "kvmlet ctl vm.sock resize vm0 3G --wait\n"
     "kvmlet ctl vm.sock resize vm0 0 --wait\n"
     "kvmlet ctl vm.sock info memory-devices"},
    {"A test: its status is the guest's verdict, 124 when it hangs:",
     "kvmlet run --kernel test.elf --timeout 60s --on-hang \\\n"
     "    --on-reset exit --verdict verdict.json"},
    {"What a file machine.json may hold, and how it is used:",
     "{\"kernel\": \"vmlinuz\", \"memory\": {\"size\": \"2G\"},\n"
     " \"disk\": [{\"path\": \"root.img\", \"ro\": true}]}\n"
     "kvmlet run --config machine.json"},
    {"Is this host's KVM fast?", "kvmlet doctor --probe"},
};

std::string Examples() {
  std::string out;
  for (const Example& example : kExamples) {
    out += Cat({out.empty() ? "" : ".PP\n", Text(example.text),
                ".PP\n.RS 4\n.EX\n", Escaped(example.command), "\n.EE\n.RE\n"});
  }
  return Section("EXAMPLES") + out;
}

std::string Files() {
  return Cat({Section("FILES"),
              Tagged("\\fI/dev/kvm\\fR",
                     "The kernel's virtual machines; the group kvm may open "
                     "it."),
              Tagged("\\fI/dev/net/tun\\fR", "The taps of --net tap=NAME."),
              Tagged("\\fI/dev/vhost-net\\fR, \\fI/dev/vhost-vsock\\fR",
                     "The kernel's side of --net vhost=on and of --vsock.")});
}

}  // namespace

std::string ManPage() {
  std::string out =
      Cat({".TH KVMLET 1 ", kDate,
           " \"kvmlet " KVMLET_VERSION "\" \"User Commands\"\n.nh\n.ad l\n"});
  out += Section("NAME");
  out += "kvmlet \\- run a virtual machine with KVM\n";
  out += Synopsis();
  out += Section("DESCRIPTION");
  out += Paragraphs(
      "kvmlet runs one virtual machine in one process, with a Linux kernel or "
      "a test program that boots directly, without firmware. It is a launcher, "
      "a test engine whose exit status is the guest's verdict, and nothing "
      "that has to be installed or kept running.");
  for (const CommandSpec& command : Commands()) {
    out += Cat({".SS ", Escaped(Cat({"kvmlet ", command.name})), "\n"});
    out += Paragraphs(command.description);
  }
  out += Section("OPTIONS");
  for (const CommandSpec& command : Commands()) {
    if (command.flags.empty()) continue;
    out += Cat({".SS ", Escaped(Cat({"Options of kvmlet ", command.name})),
                "\n", Flags(command)});
  }
  out += Section("EXIT STATUS");
  for (const StatusText& status : ExitStatuses()) {
    out += Tagged(Bold(status.status), status.text);
  }
  out += Examples();
  out += Files();
  out += Section("SEE ALSO");
  return out + "\\fBpasst\\fR(1), \\fBip\\-tuntap\\fR(8)\n";
}

}  // namespace kvmlet::cli
