// SPDX-License-Identifier: Apache-2.0
#include "vmm/config.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"
#include "vmm/config_checks.h"
#include "vmm/exits/exit_trace_format.h"

namespace kvmlet {
namespace {

constexpr uint32_t kMostCpus = 4096;
constexpr size_t kLongestId = 64;
// Virtio 1.2, 5.2.6.2: the identifier has 20 bytes.
constexpr size_t kLongestSerial = 20;
constexpr size_t kLongestInterface = 15;    // IFNAMSIZ, less its NUL
constexpr size_t kLongestSocketPath = 107;  // sockaddr_un, less its NUL
constexpr uint64_t kFirstGuestCid = 3;
constexpr uint64_t kLastGuestCid = UINT32_MAX - 1;

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool IsName(const std::string& text) {
  return text.size() <= kLongestId && std::ranges::all_of(text, IsNameByte);
}

absl::Status CheckKernel(const VmConfig& config) {
  if (config.kernel.empty()) {
    return Wrong(
        "--kernel PATH is required; it names a bzImage, an ELF vmlinux or an "
        "arm64 Image");
  }
  if (config.append_exact && config.append.empty()) {
    return Wrong(
        "--append-exact: there is no --append to take exactly; add --append "
        "TEXT, or leave it out");
  }
  if (!IsName(config.name)) {
    return Wrong("--name: '", config.name,
                 "' is not a name; use at most 64 letters, digits, '-', '_' "
                 "and '.'");
  }
  return absl::OkStatus();
}

absl::Status CheckCpus(const CpuConfig& cpus) {
  if (cpus.count == 0 || cpus.count > kMostCpus) {
    return Wrong("--cpus: ", cpus.count, " is not a number from 1 to ",
                 kMostCpus);
  }
  // A key that is not given takes what the others leave.
  uint64_t product = 1;
  bool open = false;
  for (const uint32_t part : {cpus.sockets, cpus.cores, cpus.threads}) {
    if (part > kMostCpus) {
      return Wrong("--cpus: ", part, " is above ", kMostCpus);
    }
    product *= part == 0 ? 1 : part;
    open = open || part == 0;
  }
  if (open ? cpus.count % product != 0 : cpus.count != product) {
    return Wrong("--cpus: sockets * cores * threads is ", product,
                 open ? ", which does not divide " : ", not ", cpus.count,
                 "; change the count or the topology");
  }
  return absl::OkStatus();
}

absl::Status CheckDisk(const DiskConfig& disk) {
  if (disk.path.empty()) {
    return Wrong("--disk needs the path of an image or a block device");
  }
  if (disk.serial.size() > kLongestSerial) {
    return Wrong("--disk: serial '", disk.serial,
                 "' is longer than 20 bytes; shorten it");
  }
  return absl::OkStatus();
}

absl::Status CheckMac(const NetConfig& net) {
  if (!net.mac) return absl::OkStatus();
  if (((*net.mac)[0] & 1) != 0) {
    return Wrong(
        "--net: mac= is a multicast address; make the first byte even, as in "
        "52:54:00:12:34:56");
  }
  if (*net.mac == MacAddress{}) {
    return Wrong("--net: mac= is all zeroes; leave it out for a chosen one");
  }
  return absl::OkStatus();
}

absl::Status CheckNet(const NetConfig& net) {
  if (net.kind == NetKind::kTap &&
      (net.tap.empty() || net.tap.size() > kLongestInterface ||
       net.tap.find_first_of("/ %") != net.tap.npos)) {
    return Wrong("--net: tap '", net.tap,
                 "' is not an interface's name (1 to 15 bytes)");
  }
  if (net.kind == NetKind::kFd && net.fd < 0) {
    return Wrong("--net: fd=", net.fd, " is not a file descriptor");
  }
  if (net.queue_pairs == 0) return Wrong("--net: queues= must be above zero");
  if (net.kind == NetKind::kPasst && net.queue_pairs > 1) {
    return Wrong("--net: passt has one queue pair; leave queues= out");
  }
  if (net.kind == NetKind::kFd && net.queue_pairs > 1) {
    return Wrong("--net: fd= is one queue pair; use tap=NAME for more");
  }
  if (net.kind == NetKind::kPasst && net.vhost.value_or(false)) {
    return Wrong("--net: vhost=on needs a tap; use tap=NAME, or leave it out");
  }
  return CheckMac(net);
}

// Checks one id and adds it to `ids`.
absl::Status CheckId(const char* flag, const std::string& id,
                     std::vector<std::string_view>& ids) {
  if (id.empty()) return absl::OkStatus();  // its device names itself
  if (!IsName(id)) {
    return Wrong(flag, ": id '", id,
                 "' is not a name; use at most 64 letters, digits, '-', '_' "
                 "and '.'");
  }
  if (std::ranges::find(ids, std::string_view(id)) != ids.end()) {
    return Wrong(flag, ": id '", id,
                 "' is used twice; give each device an id= of its own");
  }
  ids.emplace_back(id);
  return absl::OkStatus();
}

absl::Status CheckVfio(const VmConfig& config, const VfioConfig& vfio) {
  if (vfio.device.empty()) {
    return Wrong("--vfio: the device is empty; give 0000:01:10.0, say");
  }
  if (vfio.device.starts_with("broker:") != vfio.vf.has_value()) {
    return Wrong("--vfio: vf=INDEX goes with broker:PATH, and the other way");
  }
  const int tokens = (vfio.vf_token.empty() ? 0 : 1) +
                     (vfio.vf_token_file.empty() ? 0 : 1) +
                     (vfio.vf_token_fd < 0 ? 0 : 1);
  if (tokens > 1) {
    return Wrong(
        "--vfio: vf-token=, vf-token-file= and vf-token-fd= exclude each "
        "other; give one");
  }
  if (!vfio.rom && !vfio.rom_file.empty()) {
    return Wrong("--vfio: rom=off and romfile= exclude each other; give one");
  }
  const auto same = [&vfio](const VfioConfig& other) {
    return other.device == vfio.device && other.vf == vfio.vf;
  };
  if (std::ranges::count_if(config.vfio, same) > 1) {
    return Wrong("--vfio: ", vfio.device, " is there twice; give it once");
  }
  const auto differs = [&vfio](const VfioConfig& other) {
    return other.iommufd && vfio.iommufd && *other.iommufd != *vfio.iommufd;
  };
  if (std::ranges::any_of(config.vfio, differs)) {
    return Wrong(
        "--vfio: the devices of a machine share one address space; give "
        "iommufd=on or iommufd=off to all of them");
  }
  return absl::OkStatus();
}

absl::Status CheckDevices(const VmConfig& config) {
  std::vector<std::string_view> ids;
  for (const DiskConfig& disk : config.disks) {
    KVMLET_RETURN_IF_ERROR(CheckDisk(disk));
    KVMLET_RETURN_IF_ERROR(CheckId("--disk", disk.id, ids));
  }
  for (const NetConfig& net : config.nets) {
    KVMLET_RETURN_IF_ERROR(CheckNet(net));
    KVMLET_RETURN_IF_ERROR(CheckId("--net", net.id, ids));
  }
  for (const PmemConfig& pmem : config.pmems) {
    if (pmem.path.empty()) return Wrong("--pmem needs the path of a file");
    if (pmem.read_only && pmem.dax) {
      return Wrong(
          "--pmem: ro keeps a copy of what the guest writes, dax "
          "keeps none; leave one of them out");
    }
    KVMLET_RETURN_IF_ERROR(CheckId("--pmem", pmem.id, ids));
  }
  if (config.balloon) {
    KVMLET_RETURN_IF_ERROR(CheckId("--balloon", config.balloon->id, ids));
  }
  for (const VirtioMemConfig& mem : config.virtio_mems) {
    KVMLET_RETURN_IF_ERROR(CheckVirtioMem(mem, config.numa.size()));
    KVMLET_RETURN_IF_ERROR(CheckId("--virtio-mem", mem.id, ids));
  }
  for (const VfioConfig& vfio : config.vfio) {
    KVMLET_RETURN_IF_ERROR(CheckVfio(config, vfio));
    KVMLET_RETURN_IF_ERROR(CheckId("--vfio", vfio.id, ids));
  }
  if (config.vsock_cid && (*config.vsock_cid < kFirstGuestCid ||
                           *config.vsock_cid > kLastGuestCid)) {
    return Wrong("--vsock: cid=", *config.vsock_cid,
                 " is not a number from 3 to ", kLastGuestCid);
  }
  return absl::OkStatus();
}

absl::Status CheckSocketPath(const char* flag, const std::string& path) {
  if (path.size() <= kLongestSocketPath) return absl::OkStatus();
  return Wrong(flag, ": the socket's path has ", path.size(),
               " bytes; the most is 107, so use a shorter or a relative one");
}

absl::Status CheckTrace(const TraceExitsConfig& trace, uint32_t cpus) {
  if (trace.size > kExitTraceMostBytes) {
    return Wrong("--trace-exits: size= is at most ", kExitTraceMostBytes >> 20,
                 "M");
  }
  if (ExitTraceCapacity(trace.size, cpus) == 0) {
    return Wrong("--trace-exits: the size is too little for ", cpus,
                 " vCPUs; give it size=", ExitTraceBytes(cpus, 1) >> 10,
                 "K or more");
  }
  return absl::OkStatus();
}

absl::Status CheckControl(const VmConfig& config) {
  const SerialConfig& serial = config.serial;
  const bool needs_path =
      serial.kind == SerialKind::kFile || serial.kind == SerialKind::kUnix;
  if (needs_path && serial.path.empty()) {
    return Wrong("--serial: the path is empty; give it one");
  }
  if (serial.kind == SerialKind::kUnix) {
    KVMLET_RETURN_IF_ERROR(CheckSocketPath("--serial", serial.path));
  }
  KVMLET_RETURN_IF_ERROR(CheckSocketPath("--qmp", config.qmp_path));
  if (config.gdb) {
    KVMLET_RETURN_IF_ERROR(CheckSocketPath("--gdb", config.gdb->path));
  }
  if (config.trace_exits) {
    KVMLET_RETURN_IF_ERROR(CheckTrace(*config.trace_exits, config.cpus.count));
  }
  for (const auto& timeout : {config.timeout, config.idle_timeout}) {
    if (timeout && timeout->count() <= 0) {
      return Wrong("--timeout and --idle-timeout must be above zero");
    }
  }
  const HangConfig& hang = config.on_hang;
  if (hang.gdb && !config.gdb) {
    return Wrong(
        "--on-hang: gdb has nowhere to connect to; add --gdb unix:PATH");
  }
  // A panic is no matter of time.
  const bool for_panics = hang.gdb || !hang.dump_path.empty();
  if (hang.report && !for_panics && !config.timeout && !config.idle_timeout) {
    return Wrong(
        "--on-hang: nothing says what a hang is; add --timeout or "
        "--idle-timeout");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VmConfig::Validate() const {
  KVMLET_RETURN_IF_ERROR(CheckKernel(*this));
  KVMLET_RETURN_IF_ERROR(CheckCpus(cpus));
  KVMLET_RETURN_IF_ERROR(CheckMemory(memory));
  KVMLET_RETURN_IF_ERROR(CheckNuma(*this));
  KVMLET_RETURN_IF_ERROR(CheckDevices(*this));
  return CheckControl(*this);
}

}  // namespace kvmlet
