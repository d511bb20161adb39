// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/commands.h"

namespace kvmlet::cli {
namespace {

constexpr std::string_view kRunText =
    "Starts one virtual machine and stays until it ends. The exit status is "
    "the guest's verdict.\n"
    "A flag that adds a thing (--disk, --net, --vfio, --numa) may be given "
    "more than "
    "once; of any other flag the last one counts. A value holds keys after "
    "commas, key=value or a bare word; two commas in a row are one comma of "
    "the value itself. --flag=VALUE and --flag VALUE are the same, --noflag "
    "turns a switch off.\n"
    "A configuration file is one JSON object whose keys are the flags without "
    "their dashes. A value is a string as on the command line, a number, true "
    "or false, or an object of the flag's keys; a flag that may be given more "
    "than once takes an array of strings or objects.";

constexpr std::string_view kCtlText =
    "Sends one command to a running machine through the socket of its --qmp "
    "flag and prints the answer.";

constexpr std::string_view kSriovText =
    "Prepares PCI functions of this host for --vfio. All but show take root.\n"
    "show [DEVICE] lists functions that can be or have virtual ones, and what "
    "stands in the way of passing each through.\n"
    "bind DEVICE... hands functions to vfio-pci, or to --driver NAME; unbind "
    "gives them back to the driver that the host chooses.\n"
    "create PF COUNT makes virtual functions of a physical one on its own "
    "driver; destroy PF removes them. Neither touches functions that are in "
    "use; destroy --force asks whoever uses them to let go.\n"
    "serve PF COUNT --socket PATH --state PATH owns a physical function on "
    "vfio-pci: keeps its VF token secret, makes virtual functions, and hands "
    "them to machines started with --vfio broker:PATH,vf=INDEX. With "
    "--guest-pf it lets go of the physical function then, for the machine "
    "that drives it: kvmlet run --vfio PF,vf-token-file=STATE.\n"
    "vf PF INDEX [mac=ADDRESS] [vlan=NUMBER] [trust=on|off] [spoofchk=on|off] "
    "sets what the driver of a network card decides for a virtual function, "
    "and prints what it is then. With --state PATH the file has how it was "
    "before; restore --state PATH sets all of that again.";

constexpr std::string_view kExitsText =
    "Prints what kvmlet run --trace-exits recorded: for each reason why vCPUs "
    "left the guest for the monitor how often, how long the monitor took, and "
    "how long they were in KVM_RUN before. The file may be that of a machine "
    "that still runs or was killed.";

constexpr std::string_view kDoctorText =
    "Says what this host can do for virtual machines, one line each, and what "
    "to do about what it cannot. The exit status is 0 when guests can run and "
    "69 when they cannot.";

}  // namespace

std::span<const CommandSpec> Commands() {
  static const CommandSpec kCommands[] = {
      {"run", "--kernel PATH [FLAG...]", "starts a virtual machine", kRunText,
       RunFlags(), ""},
      {"ctl",
       "SOCKET COMMAND [ARGUMENT...]",
       "controls a running machine",
       kCtlText,
       {},
       "@file"},
      {"sriov",
       "[COMMAND] [ARGUMENT...]",
       "prepares devices for passing through",
       kSriovText,
       {},
       "show bind unbind create destroy serve vf restore"},
      {"exits", "FILE [FLAG...]",
       "shows why vCPUs left the guest, and the cost", kExitsText, ExitsFlags(),
       "@file"},
      {"doctor", "[FLAG...]", "says what this host can and cannot do",
       kDoctorText, DoctorFlags(), ""},
      {"help",
       "[COMMAND]",
       "prints the help of a command",
       "Prints the help of a command, or the list of commands.",
       {},
       "run ctl sriov exits doctor help man completion"},
      {"man",
       "",
       "prints the manual page",
       "Prints the manual page, for: kvmlet man | man -l -",
       {},
       ""},
      {"completion",
       "bash",
       "prints the shell's completion",
       "Prints the completion, for: source <(kvmlet completion bash)",
       {},
       "bash"},
  };
  return kCommands;
}

const CommandSpec* FindCommand(std::string_view name) {
  for (const CommandSpec& command : Commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

}  // namespace kvmlet::cli
