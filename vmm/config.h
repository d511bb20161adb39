// SPDX-License-Identifier: Apache-2.0
// What the user asked for, as plain data: one struct per kind of device. The
// command line and the JSON configuration fill it, Machine reads it. No
// pointers, no globals; sizes are in bytes.
#ifndef KVMLET_VMM_CONFIG_H_
#define KVMLET_VMM_CONFIG_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

struct CpuConfig {
  uint32_t count = 1;
  // 0 means: chosen so that sockets * cores * threads == count.
  uint32_t sockets = 0;
  uint32_t cores = 0;
  uint32_t threads = 0;
};

struct MemoryConfig {
  uint64_t size = 512ull << 20;
  BackingOptions backing;
};

struct NumaNodeConfig {
  std::vector<uint32_t> cpus;
  uint64_t memory = 0;
  // distances[j] to node j; empty means 10 to itself and 20 to the others.
  std::vector<uint8_t> distances;
  // The host's nodes that its memory comes from; empty: any.
  std::vector<uint32_t> host_nodes{};
};

using MacAddress = std::array<uint8_t, 6>;

struct DiskConfig {
  std::string path;
  std::string id;      // "disk0" when not given
  std::string serial;  // at most 20 bytes
  bool read_only = false;
  bool direct = false;
  uint16_t queues = 0;  // 0: one per vCPU, at most 4
};

enum class NetKind { kTap, kPasst, kFd };

struct NetConfig {
  NetKind kind = NetKind::kTap;
  std::string tap;  // interface name
  int fd = -1;
  std::string id;
  std::optional<MacAddress> mac;
  uint16_t queue_pairs = 1;
  std::optional<bool> vhost;  // unset: when the host has it
};

struct PmemConfig {
  std::string path;
  std::string id;          // "pmem0" when not given
  bool read_only = false;  // writes stay in memory
  bool dax = false;        // only where the host maps the storage itself
};

struct BalloonConfig {
  bool reporting = false;
  bool deflate_on_oom = false;
  std::chrono::seconds stats_interval{0};  // 0: not asked
  std::string id = "balloon0";
};

// A PCI function of the host.
struct VfioConfig {
  // "0000:01:10.0", its folder in sysfs, or "broker:PATH".
  std::string device;
  std::optional<uint32_t> vf;  // which one of the broker's
  std::string id;
  // At most one of these; the token is a secret.
  std::string vf_token;
  std::string vf_token_file;
  int vf_token_fd = -1;
  std::optional<bool> iommufd;  // unset: the interface that the host offers
  bool rom = true;              // the guest finds the expansion ROM
  std::string rom_file;         // in place of the device's own
};

enum class SerialKind { kStdio, kFile, kUnix, kPty, kNull };

struct SerialConfig {
  SerialKind kind = SerialKind::kStdio;
  std::string path;
};

enum class OnReset { kReboot, kExit };

// How a number that the guest wrote to the exit device becomes the process's
// exit status: as it is, or as (2 * N + 1) modulo 256.
enum class ExitCode { kPlain, kQemu };

enum class LogLevel { kError, kWarning, kInfo, kDebug };

struct HangConfig {
  bool report = false;
  std::string dump_path;
  bool gdb = false;
};

// Memory that the guest plugs and unplugs as the host requests.
struct VirtioMemConfig {
  std::string id;
  uint64_t max = 0;
  uint64_t size = 0;   // requested at the start
  uint64_t block = 0;  // 0: what the host can map at once
  std::optional<uint32_t> node;
  BackingOptions backing;
};

enum class OnDisconnect { kResume, kStop, kKill };

// Where gdb finds the machine.
struct GdbConfig {
  std::string path;  // of a unix socket; empty for TCP
  std::string host = "127.0.0.1";
  uint16_t port = 0;
  bool allow_remote = false;
  bool wait = false;  // the guest starts when gdb says so
  OnDisconnect on_disconnect = OnDisconnect::kResume;
};

// Where every exit of the vCPUs is recorded.
struct TraceExitsConfig {
  std::string path;
  uint64_t size = 64ull << 20;  // of the file, at most
};

struct VmConfig {
  std::string name;  // may be empty
  std::string kernel;
  std::string initrd;
  std::string append;
  bool append_exact = false;
  CpuConfig cpus;
  MemoryConfig memory;
  // ACPI tables even where the machine could do with a device tree.
  bool acpi = false;
  std::vector<NumaNodeConfig> numa;
  std::vector<DiskConfig> disks;
  std::vector<NetConfig> nets;
  std::vector<VirtioMemConfig> virtio_mems;
  std::vector<VfioConfig> vfio;
  bool rng = true;
  // The virtio console carries the verdict port; with `console` its first
  // port is also the guest's hvc0 on the terminal.
  bool console = false;
  std::optional<uint64_t> vsock_cid;
  std::optional<BalloonConfig> balloon;
  std::vector<PmemConfig> pmems;
  SerialConfig serial;
  std::string qmp_path;
  std::string verdict_path;
  std::string events;  // PATH or "fd:N"
  std::optional<std::chrono::nanoseconds> timeout;
  std::optional<std::chrono::nanoseconds> idle_timeout;
  HangConfig on_hang;
  std::string symbols_path;  // the kernel's, for reports; may be empty
  OnReset on_reset = OnReset::kReboot;
  ExitCode exit_code = ExitCode::kPlain;
  std::optional<GdbConfig> gdb;
  std::optional<TraceExitsConfig> trace_exits;
  LogLevel log_level = LogLevel::kWarning;

  // Checks what can be checked without the host: counts, sizes, duplicate
  // ids. One line that names the flag and the remedy.
  absl::Status Validate() const;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONFIG_H_
