// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/flag_table.h"

#include <algorithm>

namespace kvmlet::cli {
namespace {

constexpr FlagType kBool = FlagType::kBool;
constexpr FlagType kOptional = FlagType::kOptionalValue;

constexpr KeySpec kCpuKeys[] = {
    {"sockets", "N", "processor packages the guest sees", ""},
    {"cores", "N", "cores a package", ""},
    {"threads", "N", "hardware threads a core", ""},
};

constexpr KeySpec kMemoryKeys[] = {
    {"hugepages", "2M|1G", "back it with pages of the host's hugetlb pool",
     "2M 1G"},
    {"shared", "", "map it shared, so that another process can map it too", ""},
    {"file", "PATH", "back it with this file; private unless shared is given",
     "@file"},
    {"prealloc", "", "populate all pages before the guest starts", ""},
};

constexpr KeySpec kNumaKeys[] = {
    {"cpus", "LIST", "its vCPUs: numbers and ranges joined by colons, 0-1:4",
     ""},
    {"memory", "SIZE", "its share of --memory; all shares must add up", ""},
    {"distances", "LIST",
     "distance to node 0, 1, ... joined by colons, 10 to itself and 11 to 254 "
     "to others (default: 20 to all others)",
     ""},
    {"host-nodes", "LIST",
     "its memory comes from these NUMA nodes of the host only, 0-1:3", ""},
};

constexpr KeySpec kDiskKeys[] = {
    {"ro", "", "the guest cannot write to it", ""},
    {"id", "NAME", "its name in QMP (default: disk0, disk1, ...)", ""},
    {"serial", "TEXT", "at most 20 bytes the guest reads as serial number", ""},
    {"direct", "", "bypass the host's page cache (O_DIRECT)", ""},
    {"queues", "N", "request queues (default: one a vCPU, at most 4)", ""},
};

constexpr KeySpec kNetKeys[] = {
    {"tap", "NAME", "frames go through this tap interface of the host", ""},
    {"passt", "", "frames go through passt; needs no privilege", ""},
    {"fd", "N", "frames go through this inherited tap file descriptor", ""},
    {"mac", "ADDRESS", "the guest's address, such as 52:54:00:12:34:56", ""},
    {"id", "NAME", "its name in QMP (default: net0, net1, ...)", ""},
    {"queues", "N", "queue pairs (default: 1)", ""},
    {"vhost", "on|off",
     "let the host's kernel move the frames (default: when it can)", "on off"},
};

constexpr KeySpec kPmemKeys[] = {
    {"ro", "", "the file stays as it is; what the guest writes is lost", ""},
    {"dax", "",
     "fail unless the host maps the file's own storage, without a copy", ""},
    {"id", "NAME", "its name in QMP (default: pmem0, pmem1, ...)", ""},
};

constexpr KeySpec kBalloonKeys[] = {
    {"reporting", "",
     "the guest reports free pages, and they go back to the host", ""},
    {"deflate-on-oom", "",
     "the guest takes pages back before it kills a process for memory", ""},
    {"stats", "SECONDS",
     "ask how the guest uses its memory this often (default: 0, never)", ""},
    {"id", "NAME", "its name in QMP (default: balloon0)", ""},
};

constexpr KeySpec kVirtioMemKeys[] = {
    {"id", "NAME", "its name in QMP (default: vm0, vm1, ...)", ""},
    {"max", "SIZE", "the most it may ever have; only address space", ""},
    {"size", "SIZE", "what the guest is asked to plug at first (default: 0)",
     ""},
    {"block", "SIZE",
     "the unit, a power of two (default: the host's huge page, more for much "
     "memory that is not private)",
     ""},
    {"node", "N",
     "the NUMA node that its memory belongs to (another than 0 on arm64: with "
     "--acpi)",
     ""},
    {"prealloc", "",
     "populate memory when it is plugged, or tell the guest "
     "that the host is busy",
     ""},
    {"hugepages", "2M|1G", "back it with pages of the host's hugetlb pool",
     "2M 1G"},
    {"shared", "", "back it with a memfd, that another process can map", ""},
    {"file", "PATH", "back it with this file, whose content is discarded",
     "@file"},
};

constexpr KeySpec kVfioKeys[] = {
    {"vf-token-file", "PATH",
     "the VF token, when the physical function is on vfio-pci: 36 characters "
     "in this file",
     "@file"},
    {"vf-token-fd", "N", "the same, read from this inherited file descriptor",
     ""},
    {"vf-token", "UUID", "the same, for all who can list processes to see", ""},
    {"vf", "INDEX", "which virtual function of broker:PATH", ""},
    {"iommufd", "on|off", "/dev/iommu, or the group; all alike", "on off"},
    {"rom", "on|off", "its expansion ROM is there (default: on)", "on off"},
    {"romfile", "PATH", "what is there in place of its own ROM", "@file"},
    {"id", "NAME", "its name in QMP (default: vfio0, vfio1, ...)", ""},
};

constexpr KeySpec kVsockKeys[] = {
    {"cid", "N", "the guest's context id, 3 to 4294967294", ""},
};

constexpr KeySpec kGdbKeys[] = {
    {"wait", "", "hold the guest at its first instruction until gdb resumes it",
     ""},
    {"on-disconnect", "POLICY",
     "resume, stop or kill the guest when gdb vanishes (default: resume)",
     "resume stop kill"},
    {"allow-remote", "",
     "accept clients from other hosts; whoever connects owns the guest", ""},
};

constexpr KeySpec kHangKeys[] = {
    {"report", "", "say where each vCPU stands", ""},
    {"dump", "PATH",
     "write the guest's memory and registers, for gdb, crash and drgn",
     "@file"},
    {"gdb", "", "hold the guest for gdb, which ends it by continuing", ""},
};

constexpr KeySpec kTraceExitsKeys[] = {
    {"size", "SIZE", "the most it takes on the disk, up to 256M (default: 64M)",
     ""},
};

constexpr FlagSpec kRunFlags[] = {
    {.name = "kernel",
     .section = "Kernel",
     .value = "PATH",
     .text = "The guest's kernel: bzImage, ELF vmlinux or arm64 Image, "
             "compressed or not. Required.",
     .words = "@file"},
    {.name = "initrd",
     .section = "Kernel",
     .value = "PATH",
     .text = "The initial RAM file system.",
     .words = "@file"},
    {.name = "append",
     .section = "Kernel",
     .value = "TEXT",
     .text = "The kernel's command line. Options for the console and for panic "
             "are put before it unless it sets them."},
    {.name = "append-exact",
     .type = kBool,
     .section = "Kernel",
     .text = "Take --append as it is and add nothing."},

    {.name = "cpus",
     .section = "Machine",
     .value = "N[,KEY...]",
     .text = "Number of vCPUs. The product of the topology's keys is N.",
     .leading_key = "count",
     .keys = kCpuKeys},
    {.name = "memory",
     .section = "Machine",
     .value = "SIZE[,KEY...]",
     .text = "The guest's RAM. Sizes take K, M, G and T, powers of 1024.",
     .leading_key = "size",
     .keys = kMemoryKeys},
    {.name = "acpi",
     .type = kBool,
     .section = "Machine",
     .text = "Describe the machine by ACPI tables, with the device tree left "
             "for Linux kernels that know no ACPI (arm64). The guest then has "
             "no clock for the time of day. With --append-exact the command "
             "line needs acpi=on. An x86-64 machine has ACPI in any case."},
    {.name = "numa",
     .repeats = true,
     .section = "Machine",
     .value = "KEY...",
     .text = "Adds one NUMA node. Every vCPU and all of the memory belong to "
             "one node, or there is no --numa at all. A node may have nothing "
             "but what a --virtio-mem with its number brings.",
     .keys = kNumaKeys},

    {.name = "disk",
     .repeats = true,
     .section = "Devices",
     .value = "PATH[,KEY...]",
     .text = "Adds a disk: a raw image or a block device of the host.",
     .words = "@file",
     .leading_key = "path",
     .keys = kDiskKeys},
    {.name = "net",
     .repeats = true,
     .section = "Devices",
     .value = "tap=NAME|passt|fd=N[,KEY...]",
     .text = "Adds a network interface.",
     .keys = kNetKeys},
    {.name = "virtio-mem",
     .repeats = true,
     .section = "Devices",
     .value = "max=SIZE[,KEY...]",
     .text = "Adds memory that the guest plugs and unplugs while it runs, as "
             "kvmlet ctl SOCKET resize ID SIZE asks it to. Whether its Linux "
             "uses plugged memory at once is its own choice: "
             "memhp_default_state=online_movable in --append.",
     .keys = kVirtioMemKeys},
    {.name = "vfio",
     .repeats = true,
     .section = "Devices",
     .value = "DEVICE[,KEY...]",
     .text = "Passes a PCI device of the host through: 0000:01:10.0, its "
             "folder in sysfs, env:NAME for the comma-separated list in an "
             "environment variable, or broker:PATH for a virtual function "
             "that kvmlet sriov serve hands over. It must be bound to "
             "vfio-pci; kvmlet sriov bind does that.",
     .leading_key = "device",
     .keys = kVfioKeys},
    {.name = "rng",
     .type = kBool,
     .section = "Devices",
     .text = "A source of random numbers for the guest."},
    {.name = "console",
     .type = kBool,
     .section = "Devices",
     .text = "A virtio console, the guest's hvc0, on this terminal; it is much "
             "faster than the serial port."},
    {.name = "pmem",
     .repeats = true,
     .section = "Devices",
     .value = "PATH[,KEY...]",
     .text = "Adds persistent memory: a file of the host, a multiple of 2 MiB, "
             "which the guest maps itself. Holes in it are filled first.",
     .words = "@file",
     .leading_key = "file",
     .keys = kPmemKeys},
    {.name = "balloon",
     .type = kOptional,
     .section = "Devices",
     .value = "KEY...",
     .text = "A memory balloon: the QMP command balloon makes the guest give "
             "memory up. Without a key: reporting.",
     .words = "reporting",
     .keys = kBalloonKeys,
     .implied = "reporting"},
    {.name = "vsock",
     .section = "Devices",
     .value = "cid=N",
     .text = "Sockets between the host and the guest.",
     .leading_key = "cid",
     .keys = kVsockKeys},
    {.name = "serial",
     .section = "Devices",
     .value = "stdio|file:PATH|unix:PATH|pty|null",
     .text = "Where the serial port goes: this terminal, a file, the clients "
             "of a socket that kvmlet creates, a new pseudo-terminal, or "
             "nowhere.",
     .words = "stdio file: unix: pty null"},

    {.name = "qmp",
     .section = "Control",
     .value = "unix:PATH",
     .text = "Creates a socket that speaks QMP; kvmlet ctl is a client of it.",
     .words = "unix:"},
    {.name = "gdb",
     .section = "Control",
     .value = "unix:PATH|tcp:[HOST:]PORT[,KEY...]",
     .text = "Lets gdb debug the guest: target remote PATH, or HOST:PORT. "
             "Costs nothing until gdb connects.",
     .words = "unix: tcp:",
     .leading_key = "at",
     .keys = kGdbKeys},
    {.name = "verdict",
     .section = "Control",
     .value = "PATH",
     .text = "Writes how the guest ended to this file, as JSON.",
     .words = "@file"},
    {.name = "events",
     .section = "Control",
     .value = "PATH|fd:N",
     .text = "Writes a JSON line for each thing that happens, to this file or "
             "to an inherited file descriptor.",
     .words = "@file fd:"},
    {.name = "trace-exits",
     .section = "Control",
     .value = "PATH[,KEY...]",
     .text =
         "Records each exit of the vCPUs to the monitor in this file: when, "
         "why, and how long the monitor took. The newest records stay. "
         "kvmlet exits reads it.",
     .words = "@file",
     .leading_key = "path",
     .keys = kTraceExitsKeys},
    {.name = "timeout",
     .section = "Control",
     .value = "DURATION",
     .text = "Ends the guest after this time, with status 124. Durations take "
             "us, ms, s, m and h; a plain number is seconds."},
    {.name = "idle-timeout",
     .section = "Control",
     .value = "DURATION",
     .text = "Ends the guest, with status 124, when it has written nothing to "
             "its consoles for this time."},
    {.name = "on-hang",
     .type = kOptional,
     .section = "Control",
     .value = "KEY...",
     .text = "What to do before a timeout, a panic or a triple fault ends the "
             "guest. Without a key: report, which crashes get anyway.",
     .words = "report dump= gdb",
     .keys = kHangKeys,
     .implied = "report"},
    {.name = "symbols",
     .section = "Control",
     .value = "FILE",
     .text = "Names the kernel's functions in reports, and who called whom: "
             "the vmlinux of the build, a System.map, or a copy of the "
             "guest's /proc/kallsyms. Read when a report is written.",
     .words = "@file"},
    {.name = "on-reset",
     .section = "Control",
     .value = "reboot|exit",
     .text = "What a reset by the guest does: start it again, or end with "
             "status 82.",
     .words = "reboot exit"},
    {.name = "exit-code",
     .section = "Control",
     .value = "plain|qemu",
     .text = "How a number N that the guest writes to the exit device becomes "
             "the status: N itself, 63 at most, or, as kvm-unit-tests expect, "
             "2 * N + 1; then a line EXIT: STATUS=N on the serial port before "
             "power-off counts as well.",
     .words = "plain qemu"},

    {.name = "name",
     .section = "General",
     .value = "NAME",
     .text = "What the machine is called in QMP, in the verdict and in logs."},
    {.name = "config",
     .section = "General",
     .value = "FILE",
     .text = "Reads flags from a JSON file; one on the command line replaces "
             "the file's.",
     .words = "@file"},
    {.name = "log-level",
     .section = "General",
     .value = "error|warning|info|debug",
     .text = "The least important messages that reach standard error.",
     .words = "error warning info debug"},
};

constexpr FlagSpec kDoctorFlags[] = {
    {.name = "json",
     .type = kBool,
     .section = "Doctor",
     .text = "Prints JSON instead of lines for people."},
    {.name = "probe",
     .type = kBool,
     .section = "Doctor",
     .text = "Instead of looking, runs a tiny guest for at most one second: "
             "status 0 when KVM runs guest kernel code at full speed, 69 when "
             "it emulates it or cannot run it."},
};

constexpr FlagSpec kExitsFlags[] = {
    {.name = "json",
     .type = kBool,
     .section = "Exits",
     .text = "Prints one line of JSON, times in nanoseconds."},
    {.name = "list",
     .type = kBool,
     .section = "Exits",
     .text = "Prints each record as a line, in the order of time."},
};

}  // namespace

std::span<const FlagSpec> RunFlags() { return kRunFlags; }
std::span<const FlagSpec> ExitsFlags() { return kExitsFlags; }
std::span<const FlagSpec> DoctorFlags() { return kDoctorFlags; }

const FlagSpec* FindFlag(std::span<const FlagSpec> flags,
                         std::string_view name) {
  const auto same = [](char typed, char known) {
    return (typed == '_' ? '-' : typed) == known;
  };
  for (const FlagSpec& flag : flags) {
    if (std::ranges::equal(name, flag.name, same)) return &flag;
  }
  return nullptr;
}

}  // namespace kvmlet::cli
