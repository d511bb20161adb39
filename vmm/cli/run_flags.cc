// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/run_flags.h"

#include <gflags/gflags.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "vmm/base/exit_status.h"
#include "vmm/base/parse.h"
#include "vmm/base/status_macros.h"
#include "vmm/cli/config_file.h"
#include "vmm/cli/run_specs.h"
#include "vmm/cli/text.h"
#include "vmm/cli/virtio_mem_spec.h"

// Names, types and defaults. The texts are in flag_table.cc, where the help,
// the manual page and the completion find them too. A flag that may be repeated
// holds its last value only; BuildRunConfig() keeps them all.
DEFINE_string(kernel, "", "");
DEFINE_string(initrd, "", "");
DEFINE_string(append, "", "");
DEFINE_bool(append_exact, false, "");
DEFINE_bool(acpi, false, "");
DEFINE_string(cpus, "1", "");
DEFINE_string(memory, "512M", "");
DEFINE_string(numa, "", "");
DEFINE_string(disk, "", "");
DEFINE_string(net, "", "");
DEFINE_string(virtio_mem, "", "");
DEFINE_bool(rng, true, "");
DEFINE_bool(console, false, "");
DEFINE_string(balloon, "", "");
DEFINE_string(pmem, "", "");
DEFINE_string(vfio, "", "");
DEFINE_string(vsock, "", "");
DEFINE_string(serial, "stdio", "");
DEFINE_string(qmp, "", "");
DEFINE_string(gdb, "", "");
DEFINE_string(verdict, "", "");
DEFINE_string(events, "", "");
DEFINE_string(trace_exits, "", "");
DEFINE_string(timeout, "", "");
DEFINE_string(idle_timeout, "", "");
DEFINE_string(on_hang, "", "");
DEFINE_string(symbols, "", "");
DEFINE_string(on_reset, "reboot", "");
DEFINE_string(exit_code, "plain", "");
DEFINE_string(name, "", "");
DEFINE_string(config, "", "");
DEFINE_string(log_level, "warning", "");

namespace kvmlet::cli {
namespace {

std::string RegistryName(const FlagSpec& flag) {
  std::string name(flag.name);
  std::ranges::replace(name, '-', '_');
  return name;
}

// The line says which file a bad value is in, and the status whose fault it is.
absl::Status At(const Setting& setting, absl::Status status) {
  if (setting.file.empty()) {
    return WithExitStatus(std::move(status), ExitStatus::kUsage);
  }
  return WithExitStatus(Prefixed(setting.file, status), ExitStatus::kBadInput);
}

template <typename T>
absl::Status Assign(absl::StatusOr<T> parsed, T& out) {
  if (!parsed.ok()) return std::move(parsed).status();
  out = *std::move(parsed);
  return absl::OkStatus();
}

template <typename T>
absl::Status Append(absl::StatusOr<T> parsed, std::vector<T>& out) {
  if (!parsed.ok()) return std::move(parsed).status();
  out.push_back(*std::move(parsed));
  return absl::OkStatus();
}

absl::Status ParseTimeout(std::string_view flag, std::string_view text,
                          std::optional<std::chrono::nanoseconds>& out) {
  KVMLET_ASSIGN_OR_RETURN(out, ParseDuration(flag, text));
  if (out->count() != 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Cat({flag, ": must be above zero; leave it out for no limit"}));
}

// One value of a flag with a shape of its own, into its field; the others are
// read from gflags when all is set.
absl::Status Shape(std::string_view flag, const std::string& text,
                   VmConfig& config) {
  if (flag == "cpus") return Assign(ParseCpus(text), config.cpus);
  if (flag == "memory") return Assign(ParseMemory(text), config.memory);
  if (flag == "numa") return Append(ParseNuma(text), config.numa);
  if (flag == "disk") return Append(ParseDisk(text), config.disks);
  if (flag == "net") return Append(ParseNet(text), config.nets);
  if (flag == "virtio-mem") {
    return Append(ParseVirtioMem(text), config.virtio_mems);
  }
  if (flag == "pmem") return Append(ParsePmem(text), config.pmems);
  if (flag == "serial") return Assign(ParseSerial(text), config.serial);
  if (flag == "qmp") return Assign(ParseQmp(text), config.qmp_path);
  if (flag == "gdb") {
    KVMLET_ASSIGN_OR_RETURN(config.gdb, ParseGdb(text));
    return absl::OkStatus();
  }
  if (flag == "events") return Assign(ParseEvents(text), config.events);
  if (flag == "on-hang") return Assign(ParseOnHang(text), config.on_hang);
  if (flag == "trace-exits") {
    KVMLET_ASSIGN_OR_RETURN(config.trace_exits, ParseTraceExits(text));
  }
  if (flag == "on-reset") return Assign(ParseOnReset(text), config.on_reset);
  if (flag == "exit-code") return Assign(ParseExitCode(text), config.exit_code);
  if (flag == "log-level") return Assign(ParseLogLevel(text), config.log_level);
  if (flag == "timeout") {
    return ParseTimeout("--timeout", text, config.timeout);
  }
  if (flag == "idle-timeout") {
    return ParseTimeout("--idle-timeout", text, config.idle_timeout);
  }
  if (flag == "balloon") {
    KVMLET_ASSIGN_OR_RETURN(config.balloon, ParseBalloon(text));
  }
  if (flag == "vfio") {
    KVMLET_ASSIGN_OR_RETURN(const std::vector<VfioConfig> devices,
                            ParseVfio(text));
    config.vfio.insert(config.vfio.end(), devices.begin(), devices.end());
  }
  if (flag == "vsock") {
    KVMLET_ASSIGN_OR_RETURN(config.vsock_cid, ParseVsock(text));
  }
  return absl::OkStatus();
}

absl::Status Apply(const Setting& setting, VmConfig& config) {
  const FlagSpec& flag = *setting.flag;
  if (gflags::SetCommandLineOption(RegistryName(flag).c_str(),
                                   setting.value.c_str())
          .empty()) {
    return absl::InvalidArgumentError(Cat(
        {"--", flag.name, ": '", setting.value, "' is not a value for it"}));
  }
  if (flag.type != FlagType::kBool && !flag.repeats && setting.value.empty() &&
      flag.name != "append") {
    return absl::InvalidArgumentError(
        Cat({"--", flag.name, " is empty; give it ", flag.value,
             ", or leave it out"}));
  }
  return Shape(flag.name, setting.value, config);
}

// The file's settings that the command line does not replace, then the command
// line's.
absl::StatusOr<std::vector<Setting>> Merge(const ArgWalk& walk) {
  const Setting* config = nullptr;
  for (const Setting& setting : walk.settings) {
    if (setting.flag->name == "config") config = &setting;
  }
  if (config == nullptr) return walk.settings;
  KVMLET_ASSIGN_OR_RETURN(std::vector<Setting> merged,
                          ReadConfigFile(config->value, RunFlags()));
  std::erase_if(merged, [&walk](const Setting& from_file) {
    return std::ranges::any_of(walk.settings, [&](const Setting& typed) {
      return typed.flag == from_file.flag;
    });
  });
  merged.insert(merged.end(), walk.settings.begin(), walk.settings.end());
  return merged;
}

// "disk0", "disk1", ... for those that were given no name.
template <typename Device>
void NameDevices(std::string_view stem, std::vector<Device>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].id.empty()) devices[i].id = Cat({stem, std::to_string(i)});
  }
}

}  // namespace

absl::StatusOr<VmConfig> BuildRunConfig(const ArgWalk& walk) {
  if (!walk.operands.empty()) {
    return UsageError(Cat({"unexpected argument '", walk.operands.front(),
                           "'; every value follows its flag, as in --kernel ",
                           walk.operands.front()}));
  }
  // The flags are as they were when this goes out of scope.
  const gflags::FlagSaver saver;
  KVMLET_ASSIGN_OR_RETURN(const std::vector<Setting> settings, Merge(walk));
  VmConfig config;
  bool from_file = false;
  for (const Setting& setting : settings) {
    KVMLET_RETURN_IF_ERROR(At(setting, Apply(setting, config)));
    from_file = from_file || !setting.file.empty();
  }
  config.name = FLAGS_name;
  config.kernel = FLAGS_kernel;
  config.initrd = FLAGS_initrd;
  config.append = FLAGS_append;
  config.append_exact = FLAGS_append_exact;
  config.acpi = FLAGS_acpi;
  config.rng = FLAGS_rng;
  config.console = FLAGS_console;
  config.verdict_path = FLAGS_verdict;
  config.symbols_path = FLAGS_symbols;
  NameDevices("disk", config.disks);
  NameDevices("net", config.nets);
  NameDevices("vm", config.virtio_mems);
  NameDevices("pmem", config.pmems);
  NameDevices("vfio", config.vfio);
  KVMLET_RETURN_IF_ERROR(
      WithExitStatus(config.Validate(),
                     from_file ? ExitStatus::kBadInput : ExitStatus::kUsage));
  return config;
}

absl::StatusOr<VmConfig> ParseRun(std::span<const std::string> args) {
  KVMLET_ASSIGN_OR_RETURN(const ArgWalk walk,
                          WalkArgs("run", RunFlags(), args));
  return BuildRunConfig(walk);
}

std::string DefaultOf(const FlagSpec& flag) {
  std::string value;
  gflags::GetCommandLineOption(RegistryName(flag).c_str(), &value);
  return value;
}

std::vector<std::string> RegisteredRunFlags() {
  std::vector<gflags::CommandLineFlagInfo> all;
  gflags::GetAllFlags(&all);
  std::vector<std::string> names;
  for (gflags::CommandLineFlagInfo& info : all) {
    if (!info.filename.ends_with("run_flags.cc")) continue;
    std::ranges::replace(info.name, '_', '-');
    names.push_back(std::move(info.name));
  }
  return names;
}

}  // namespace kvmlet::cli
