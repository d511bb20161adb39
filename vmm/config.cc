// SPDX-License-Identifier: Apache-2.0
#include "vmm/config.h"

#include <algorithm>
#include <bit>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr uint32_t kMostCpus = 4096;
constexpr uint64_t kLeastMemory = 1ull << 20;
constexpr uint64_t kMostMemory = 1ull << 46;
// A smaller block could not give a huge page back.
constexpr uint64_t kLeastBlock = 2ull << 20;
constexpr size_t kMostNodes = 64;
constexpr uint8_t kLocalDistance = 10;
constexpr size_t kLongestId = 64;
// Virtio 1.2, 5.2.6.2: the identifier has 20 bytes.
constexpr size_t kLongestSerial = 20;
constexpr size_t kLongestInterface = 15;    // IFNAMSIZ, less its NUL
constexpr size_t kLongestSocketPath = 107;  // sockaddr_un, less its NUL
constexpr uint64_t kFirstGuestCid = 3;
constexpr uint64_t kLastGuestCid = UINT32_MAX - 1;

template <typename... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool IsName(const std::string& text) {
  return text.size() <= kLongestId && std::ranges::all_of(text, IsNameByte);
}

const char* PageName(BackingKind kind) {
  if (kind == BackingKind::kHugetlb2M) return "2 MiB, for hugepages=2M";
  if (kind == BackingKind::kHugetlb1G) return "1 GiB, for hugepages=1G";
  return "4 KiB";
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

absl::Status CheckMemory(const MemoryConfig& memory) {
  const BackingKind kind = memory.backing.kind;
  if (memory.size % BackingPageSize(kind) != 0) {
    return Wrong("--memory: ", memory.size, " bytes is not a multiple of ",
                 PageName(kind));
  }
  if (memory.size < kLeastMemory) {
    return Wrong("--memory: ", memory.size,
                 " bytes is too little; give at least 1M (a plain number is "
                 "bytes)");
  }
  if (memory.size > kMostMemory) {
    return Wrong("--memory: ", memory.size, " bytes is above 64T");
  }
  if (kind == BackingKind::kFile && memory.backing.file.empty()) {
    return Wrong("--memory: file= is empty; give it a path");
  }
  return absl::OkStatus();
}

absl::Status CheckDistances(const VmConfig& config, size_t node) {
  const std::vector<uint8_t>& distances = config.numa[node].distances;
  if (distances.empty()) return absl::OkStatus();
  if (distances.size() != config.numa.size()) {
    return Wrong("--numa: node ", node, " has ", distances.size(),
                 " distances; give one for each of the ", config.numa.size(),
                 " nodes, or none");
  }
  for (size_t to = 0; to < distances.size(); ++to) {
    if ((distances[to] == kLocalDistance) == (to == node) &&
        distances[to] >= kLocalDistance && distances[to] != UINT8_MAX) {
      continue;
    }
    return Wrong("--numa: distance ", distances[to], " from node ", node,
                 " to node ", to,
                 " must be 10 to itself and 11 to 254 to others");
  }
  return absl::OkStatus();
}

// Marks the node's vCPUs in `seen`.
absl::Status CheckNodeCpus(const VmConfig& config, size_t node,
                           std::vector<bool>& seen) {
  for (const uint32_t cpu : config.numa[node].cpus) {
    if (cpu >= config.cpus.count) {
      return Wrong("--numa: node ", node, " names vCPU ", cpu, ", but --cpus ",
                   config.cpus.count, " makes 0 to ", config.cpus.count - 1);
    }
    if (seen[cpu]) {
      return Wrong("--numa: vCPU ", cpu,
                   " is named twice; it belongs to one node");
    }
    seen[cpu] = true;
  }
  return absl::OkStatus();
}

absl::Status CheckNuma(const VmConfig& config) {
  if (config.numa.empty()) return absl::OkStatus();
  if (config.numa.size() > kMostNodes) {
    return Wrong("--numa: ", config.numa.size(), " nodes are above the ",
                 kMostNodes, " that there can be");
  }
  const uint64_t page = BackingPageSize(config.memory.backing.kind);
  std::vector<bool> seen(config.cpus.count);
  uint64_t left = config.memory.size;
  for (size_t i = 0; i < config.numa.size(); ++i) {
    const NumaNodeConfig& node = config.numa[i];
    if (node.cpus.empty() && node.memory == 0) {
      return Wrong("--numa: node ", i,
                   " is empty; give it cpus= or memory= or both");
    }
    if (node.memory == 0 && !node.host_nodes.empty()) {
      return Wrong("--numa: node ", i,
                   " has host-nodes= and no memory; leave them out");
    }
    if (node.memory % page != 0) {
      return Wrong("--numa: node ", i, "'s memory is not a multiple of ",
                   PageName(config.memory.backing.kind));
    }
    if (node.memory > left) {
      return Wrong("--numa: the nodes have more memory than --memory, ",
                   config.memory.size, " bytes; make their sum equal");
    }
    left -= node.memory;
    KVMLET_RETURN_IF_ERROR(CheckNodeCpus(config, i, seen));
    KVMLET_RETURN_IF_ERROR(CheckDistances(config, i));
  }
  if (left != 0) {
    return Wrong("--numa: ", left,
                 " bytes of --memory belong to no node; make their sum equal");
  }
  const auto missing = std::ranges::find(seen, false);
  if (missing != seen.end()) {
    return Wrong("--numa: vCPU ", missing - seen.begin(),
                 " belongs to no node; add it to one's cpus=");
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

absl::Status CheckVirtioMem(const VirtioMemConfig& mem, size_t nodes) {
  const uint64_t page = BackingPageSize(mem.backing.kind);
  const uint64_t block =
      mem.block == 0 ? std::max(kLeastBlock, page) : mem.block;
  if (!std::has_single_bit(block) || block < kLeastBlock || block < page) {
    return Wrong("--virtio-mem: block=", block,
                 " must be a power of two, at least ",
                 std::max(kLeastBlock, page));
  }
  if (mem.max == 0 || mem.max % block != 0 || mem.max > kMostMemory) {
    return Wrong("--virtio-mem: max=", mem.max, " must be a multiple of ",
                 block, ", above zero and at most 64T");
  }
  if (mem.size % block != 0) {
    return Wrong("--virtio-mem: size=", mem.size, " is not a multiple of ",
                 block);
  }
  if (mem.size > mem.max) {
    return Wrong("--virtio-mem: size=", mem.size, " is above max=", mem.max);
  }
  if (mem.node && *mem.node >= nodes) {
    return Wrong("--virtio-mem: node=", *mem.node,
                 " is not there; --numa makes ", nodes, " nodes");
  }
  return absl::OkStatus();
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
  const auto same = [&vfio](const VfioConfig& other) {
    return other.device == vfio.device && other.vf == vfio.vf;
  };
  if (std::ranges::count_if(config.vfio, same) > 1) {
    return Wrong("--vfio: ", vfio.device, " is there twice; give it once");
  }
  if (vfio.iommufd != config.vfio.front().iommufd) {
    return Wrong(
        "--vfio: the devices of a machine share one address space; give "
        "iommufd to all of them or to none");
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
  for (const auto& timeout : {config.timeout, config.idle_timeout}) {
    if (timeout && timeout->count() <= 0) {
      return Wrong("--timeout and --idle-timeout must be above zero");
    }
  }
  if (config.on_hang.report && !config.timeout && !config.idle_timeout) {
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
