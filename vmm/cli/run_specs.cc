// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/run_specs.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "vmm/base/parse.h"
#include "vmm/base/status_macros.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

constexpr uint64_t kMostCpus = 4096;
constexpr uint64_t kMostHostNodes = 1024;
constexpr uint64_t kMostVfs = 4095;
constexpr uint64_t kMostDiskQueues = 64;
constexpr uint64_t kMostQueuePairs = 16;
constexpr uint64_t kHighestFd = std::numeric_limits<int>::max();

absl::Status Bad(std::string_view flag, std::string_view text,
                 std::string_view want) {
  const std::string message = Cat({flag, ": '", text, "' is not ", want});
  return absl::InvalidArgumentError(message);
}

// The value that leads, or the same under its key; never empty.
absl::StatusOr<std::string> TakeLeading(SpecParser& spec, std::string_view key,
                                        std::string_view what) {
  const std::optional<std::string> named = spec.Take(key);
  if (named && !spec.positional().empty()) {
    return Bad(spec.flag(), *named, "needed: its value is there already");
  }
  const std::string value = named.value_or(spec.positional());
  if (!value.empty()) return value;
  return absl::InvalidArgumentError(
      Cat({spec.flag(), " needs ", what, " first"}));
}

absl::StatusOr<std::string> TakeText(SpecParser& spec, std::string_view key) {
  const std::optional<std::string> text = spec.Take(key);
  if (!text || !text->empty()) return text.value_or("");
  return absl::InvalidArgumentError(
      Cat({spec.flag(), ": ", key,
           "= is empty; give it a value, or leave it "
           "out"}));
}

template <typename Int>
absl::Status TakeInt(SpecParser& spec, std::string_view key, uint64_t low,
                     uint64_t high, Int& out) {
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> value,
                          spec.TakeNumber(key, low, high));
  if (value) out = static_cast<Int>(*value);
  return absl::OkStatus();
}

std::vector<std::string_view> SplitColons(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t colon = text.find(':');
    parts.push_back(text.substr(0, colon));
    if (colon == text.npos) return parts;
    text.remove_prefix(colon + 1);
  }
}

// "0-1:4" -> 0, 1, 4.
absl::StatusOr<std::vector<uint32_t>> ParseList(std::string_view flag,
                                                std::string_view text,
                                                uint64_t most) {
  std::vector<uint32_t> numbers;
  for (std::string_view part : SplitColons(text)) {
    const size_t dash = part.find('-');
    KVMLET_ASSIGN_OR_RETURN(
        const uint64_t first,
        ParseNumber(flag, part.substr(0, dash), 0, most - 1));
    uint64_t last = first;
    if (dash != part.npos) {
      KVMLET_ASSIGN_OR_RETURN(
          last, ParseNumber(flag, part.substr(dash + 1), first, most - 1));
    }
    for (uint64_t number = first; number <= last; ++number) {
      // Ranges that repeat would otherwise make this list as long as the text
      // likes; Validate() names what is there twice.
      if (numbers.size() > most) return Bad(flag, text, "a short list");
      numbers.push_back(static_cast<uint32_t>(number));
    }
  }
  return numbers;
}

absl::StatusOr<MacAddress> ParseMac(std::string_view flag,
                                    std::string_view text) {
  constexpr std::string_view kWant = "an address such as 52:54:00:12:34:56";
  const std::vector<std::string_view> parts = SplitColons(text);
  MacAddress mac;
  if (parts.size() != mac.size()) return Bad(flag, text, kWant);
  for (size_t i = 0; i < mac.size(); ++i) {
    constexpr std::string_view kDigits = "0123456789abcdefABCDEF";
    if (parts[i].size() != 2 ||
        parts[i].find_first_not_of(kDigits) != parts[i].npos) {
      return Bad(flag, text, kWant);
    }
    KVMLET_ASSIGN_OR_RETURN(const uint64_t byte,
                            ParseNumber(flag, Cat({"0x", parts[i]}), 0, 255));
    mac[i] = static_cast<uint8_t>(byte);
  }
  return mac;
}

// The rest of `text` behind "file:", when it begins so and has a rest.
std::optional<std::string> After(std::string_view text,
                                 std::string_view prefix) {
  if (!text.starts_with(prefix) || text.size() == prefix.size()) return {};
  return std::string(text.substr(prefix.size()));
}

}  // namespace

absl::StatusOr<CpuConfig> ParseCpus(std::string_view text) {
  CpuConfig cpus;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--cpus", text, true));
  KVMLET_ASSIGN_OR_RETURN(const std::string count,
                          TakeLeading(spec, "count", "the number of vCPUs"));
  KVMLET_ASSIGN_OR_RETURN(const uint64_t number,
                          ParseNumber("--cpus", count, 1, kMostCpus));
  cpus.count = static_cast<uint32_t>(number);
  KVMLET_RETURN_IF_ERROR(TakeInt(spec, "sockets", 1, kMostCpus, cpus.sockets));
  KVMLET_RETURN_IF_ERROR(TakeInt(spec, "cores", 1, kMostCpus, cpus.cores));
  KVMLET_RETURN_IF_ERROR(TakeInt(spec, "threads", 1, kMostCpus, cpus.threads));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  return cpus;
}

absl::StatusOr<MemoryConfig> ParseMemory(std::string_view text) {
  MemoryConfig memory;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--memory", text, true));
  KVMLET_ASSIGN_OR_RETURN(const std::string size,
                          TakeLeading(spec, "size", "a size such as 512M"));
  KVMLET_ASSIGN_OR_RETURN(memory.size, ParseSize("--memory", size));
  BackingOptions& backing = memory.backing;
  KVMLET_ASSIGN_OR_RETURN(const std::string pages, TakeText(spec, "hugepages"));
  KVMLET_ASSIGN_OR_RETURN(backing.shared, spec.TakeBool("shared"));
  KVMLET_ASSIGN_OR_RETURN(backing.file, TakeText(spec, "file"));
  KVMLET_ASSIGN_OR_RETURN(backing.prealloc, spec.TakeBool("prealloc"));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  if (!pages.empty() && !backing.file.empty()) {
    return absl::InvalidArgumentError(
        "--memory: hugepages= and file= exclude each other; for huge pages of "
        "a file put it on a hugetlbfs mount");
  }
  if (pages == "2M") {
    backing.kind = BackingKind::kHugetlb2M;
  } else if (pages == "1G") {
    backing.kind = BackingKind::kHugetlb1G;
  } else if (!pages.empty()) {
    return Bad("--memory hugepages", pages, "2M or 1G");
  } else if (!backing.file.empty()) {
    backing.kind = BackingKind::kFile;
  } else if (backing.shared) {
    backing.kind = BackingKind::kMemfd;
  }
  return memory;
}

absl::StatusOr<NumaNodeConfig> ParseNuma(std::string_view text) {
  NumaNodeConfig node;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--numa", text, false));
  KVMLET_ASSIGN_OR_RETURN(const std::string cpus, TakeText(spec, "cpus"));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> memory,
                          spec.TakeSize("memory"));
  KVMLET_ASSIGN_OR_RETURN(const std::string far, TakeText(spec, "distances"));
  KVMLET_ASSIGN_OR_RETURN(const std::string host, TakeText(spec, "host-nodes"));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  if (!cpus.empty()) {
    KVMLET_ASSIGN_OR_RETURN(node.cpus,
                            ParseList("--numa cpus", cpus, kMostCpus));
  }
  if (!host.empty()) {
    KVMLET_ASSIGN_OR_RETURN(
        node.host_nodes, ParseList("--numa host-nodes", host, kMostHostNodes));
  }
  node.memory = memory.value_or(0);
  if (far.empty()) return node;
  for (std::string_view part : SplitColons(far)) {
    KVMLET_ASSIGN_OR_RETURN(const uint64_t distance,
                            ParseNumber("--numa distances", part, 10, 254));
    node.distances.push_back(static_cast<uint8_t>(distance));
  }
  return node;
}

absl::StatusOr<DiskConfig> ParseDisk(std::string_view text) {
  DiskConfig disk;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--disk", text, true));
  KVMLET_ASSIGN_OR_RETURN(
      disk.path, TakeLeading(spec, "path", "the path of an image or device"));
  KVMLET_ASSIGN_OR_RETURN(disk.read_only, spec.TakeBool("ro"));
  KVMLET_ASSIGN_OR_RETURN(disk.id, TakeText(spec, "id"));
  KVMLET_ASSIGN_OR_RETURN(disk.serial, TakeText(spec, "serial"));
  KVMLET_ASSIGN_OR_RETURN(disk.direct, spec.TakeBool("direct"));
  KVMLET_RETURN_IF_ERROR(
      TakeInt(spec, "queues", 1, kMostDiskQueues, disk.queues));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  return disk;
}

absl::StatusOr<NetConfig> ParseNet(std::string_view text) {
  NetConfig net;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--net", text, false));
  KVMLET_ASSIGN_OR_RETURN(net.tap, TakeText(spec, "tap"));
  KVMLET_ASSIGN_OR_RETURN(const bool passt, spec.TakeBool("passt"));
  KVMLET_RETURN_IF_ERROR(TakeInt(spec, "fd", 0, kHighestFd, net.fd));
  KVMLET_ASSIGN_OR_RETURN(const std::string mac, TakeText(spec, "mac"));
  KVMLET_ASSIGN_OR_RETURN(net.id, TakeText(spec, "id"));
  KVMLET_RETURN_IF_ERROR(
      TakeInt(spec, "queues", 1, kMostQueuePairs, net.queue_pairs));
  KVMLET_ASSIGN_OR_RETURN(net.vhost, spec.TakeOptionalBool("vhost"));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  if ((net.tap.empty() ? 0 : 1) + (passt ? 1 : 0) + (net.fd < 0 ? 0 : 1) != 1) {
    return Bad("--net", text, "one of tap=NAME, passt, fd=N");
  }
  if (passt) net.kind = NetKind::kPasst;
  if (net.fd >= 0) net.kind = NetKind::kFd;
  if (!mac.empty()) {
    KVMLET_ASSIGN_OR_RETURN(net.mac, ParseMac("--net mac", mac));
  }
  return net;
}

absl::StatusOr<std::vector<VfioConfig>> ParseVfio(std::string_view text) {
  VfioConfig vfio;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--vfio", text, true));
  KVMLET_ASSIGN_OR_RETURN(
      vfio.device,
      TakeLeading(spec, "device", "a PCI device such as 0000:01:10.0"));
  KVMLET_ASSIGN_OR_RETURN(vfio.id, TakeText(spec, "id"));
  KVMLET_ASSIGN_OR_RETURN(vfio.vf_token, TakeText(spec, "vf-token"));
  KVMLET_ASSIGN_OR_RETURN(vfio.vf_token_file, TakeText(spec, "vf-token-file"));
  KVMLET_RETURN_IF_ERROR(
      TakeInt(spec, "vf-token-fd", 0, kHighestFd, vfio.vf_token_fd));
  KVMLET_ASSIGN_OR_RETURN(vfio.iommufd, spec.TakeOptionalBool("iommufd"));
  KVMLET_ASSIGN_OR_RETURN(const auto rom, spec.TakeOptionalBool("rom"));
  vfio.rom = rom.value_or(true);
  KVMLET_ASSIGN_OR_RETURN(vfio.rom_file, TakeText(spec, "romfile"));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> vf,
                          spec.TakeNumber("vf", 0, kMostVfs));
  if (vf) vfio.vf = static_cast<uint32_t>(*vf);
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  const std::optional<std::string> variable = After(vfio.device, "env:");
  if (!variable) return std::vector{vfio};
  const char* const list = ::getenv(variable->c_str());
  if (list == nullptr || *list == '\0') {
    return absl::InvalidArgumentError(
        Cat({"--vfio env:", *variable, ": the environment has no ", *variable,
             "; no device was assigned"}));
  }
  std::vector<VfioConfig> all;
  std::string_view rest = list;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    vfio.device = std::string(rest.substr(0, comma));
    all.push_back(vfio);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (all.size() > 1 && !vfio.id.empty()) {
    return Bad("--vfio id", vfio.id, "possible for several devices");
  }
  return all;
}

absl::StatusOr<uint64_t> ParseVsock(std::string_view text) {
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--vsock", text, true));
  KVMLET_ASSIGN_OR_RETURN(const std::string cid,
                          TakeLeading(spec, "cid", "cid=N"));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  return ParseNumber("--vsock cid", cid, 3, UINT32_MAX - 1);
}

absl::StatusOr<SerialConfig> ParseSerial(std::string_view text) {
  if (text == "stdio") return SerialConfig{SerialKind::kStdio, {}};
  if (text == "pty") return SerialConfig{SerialKind::kPty, {}};
  if (text == "null") return SerialConfig{SerialKind::kNull, {}};
  if (std::optional<std::string> path = After(text, "file:")) {
    return SerialConfig{SerialKind::kFile, *std::move(path)};
  }
  if (std::optional<std::string> path = After(text, "unix:")) {
    return SerialConfig{SerialKind::kUnix, *std::move(path)};
  }
  return Bad("--serial", text, "stdio, file:PATH, unix:PATH, pty or null");
}

absl::StatusOr<std::string> ParseQmp(std::string_view text) {
  std::optional<std::string> path = After(text, "unix:");
  if (!path) return Bad("--qmp", text, "unix:PATH");
  return *std::move(path);
}

absl::StatusOr<std::string> ParseEvents(std::string_view text) {
  if (text.empty()) return Bad("--events", text, "PATH or fd:N");
  if (text.starts_with("fd:")) {
    KVMLET_RETURN_IF_ERROR(
        ParseNumber("--events fd", text.substr(3), 0, kHighestFd).status());
  }
  return std::string(text);
}

absl::StatusOr<HangConfig> ParseOnHang(std::string_view text) {
  HangConfig hang;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--on-hang", text, false));
  KVMLET_ASSIGN_OR_RETURN(hang.report, spec.TakeBool("report"));
  KVMLET_ASSIGN_OR_RETURN(hang.gdb, spec.TakeBool("gdb"));
  KVMLET_ASSIGN_OR_RETURN(hang.dump_path, TakeText(spec, "dump"));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  if (!hang.report && !hang.gdb && hang.dump_path.empty()) {
    return Bad("--on-hang", text, "report, dump=PATH or gdb");
  }
  return hang;
}

absl::StatusOr<TraceExitsConfig> ParseTraceExits(std::string_view text) {
  TraceExitsConfig trace;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--trace-exits", text, true));
  KVMLET_ASSIGN_OR_RETURN(trace.path, TakeLeading(spec, "path", "a file"));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> size,
                          spec.TakeSize("size"));
  if (size) trace.size = *size;
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  return trace;
}

absl::StatusOr<OnReset> ParseOnReset(std::string_view text) {
  if (text == "reboot") return OnReset::kReboot;
  if (text == "exit") return OnReset::kExit;
  return Bad("--on-reset", text, "reboot or exit");
}

absl::StatusOr<ExitCode> ParseExitCode(std::string_view text) {
  if (text == "plain") return ExitCode::kPlain;
  if (text == "qemu") return ExitCode::kQemu;
  return Bad("--exit-code", text, "plain or qemu");
}

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  if (text == "error") return LogLevel::kError;
  if (text == "warning") return LogLevel::kWarning;
  if (text == "info") return LogLevel::kInfo;
  if (text == "debug") return LogLevel::kDebug;
  return Bad("--log-level", text, "error, warning, info or debug");
}

}  // namespace kvmlet::cli
