// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory_devices.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/memory_block_size.h"

namespace kvmlet {
namespace {

using virtio::MemDevice;
using virtio::MemFault;
using virtio::MemRequestType;
using virtio::MemResponseType;

// Events of one device come at most this often, the last one with the final
// size.
constexpr std::chrono::milliseconds kEventPeriod{100};
// A driver that has asked for nothing so long does not go on by itself.
constexpr std::chrono::seconds kStalled{3};

std::string BackingName(const BackingOptions& backing) {
  switch (backing.kind) {
    case BackingKind::kAnonymous:
      return "anonymous";
    case BackingKind::kMemfd:
      return "memfd";
    case BackingKind::kHugetlb2M:
      return "hugetlb-2M";
    case BackingKind::kHugetlb1G:
      return "hugetlb-1G";
    case BackingKind::kFile:
      return backing.file;
  }
  return "";
}

struct Progress {
  const char* state;
  std::string reason;
};

Progress ProgressOf(const MemDevice::Status& status) {
  const bool grow = status.config.requested_size > status.config.plugged_size;
  if (status.config.requested_size == status.config.plugged_size) {
    return {"complete", "the guest has plugged what was requested"};
  }
  if (!status.driver) {
    return {"no-driver",
            "no driver of the guest is at work; it needs virtio_mem, which "
            "must accept UNPLUGGED_INACCESSIBLE (Linux 5.16, arm64: 5.18)"};
  }
  if (!status.busy.empty()) return {"busy", status.busy};
  const auto recent = [now = MemDevice::Clock::now()](const auto& time) {
    return time && now - *time < kStalled;
  };
  if (recent(status.last_request)) {
    return {"in-progress", "the guest is asking for blocks"};
  }
  if (recent(status.last_resize)) {
    return {"in-progress", "the guest was told just now"};
  }
  return {"stalled",
          grow ? "the guest asks for no more: does it bring memory online by "
                 "itself (memhp_default_state=online_movable), and has it free "
                 "memory to describe the new?"
               : "the guest gives no more back: what it keeps there cannot be "
                 "moved; memhp_default_state=online_movable avoids that"};
}

template <typename Enum, size_t kSize>
absl::StatusOr<std::optional<Enum>> ByName(
    const std::array<std::pair<const char*, Enum>, kSize>& names,
    const char* what, const std::string& text) {
  if (text.empty()) return std::optional<Enum>();
  std::string known;
  for (const auto& [name, value] : names) {
    if (text == name) return std::optional<Enum>(value);
    absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " '", text, "' is not one of ", known));
}

}  // namespace

absl::Status MemoryDevices::Place(arch::MemoryPlan& plan, GpaAllocator& window,
                                  GuestMemory& memory) {
  memory_block_ = plan.memory_block;
  names_nodes_ = plan.names_hotplug_nodes && !config_.numa.empty();
  const BlockLimits limits = ReadBlockLimits();
  for (const VirtioMemConfig& config : config_.virtio_mems) {
    KVMLET_ASSIGN_OR_RETURN(const uint64_t block,
                            ChooseBlockSize(config, config_.virtio_mems,
                                            !config_.vfio.empty(), limits));
    const std::string flag = FlagOf(config);
    if (config.max % block != 0 || config.size % block != 0) {
      return BadInput(absl::StrCat(
          flag, ": max=", config.max, " and size=", config.size,
          " must be multiples of the ", block >> 20, " MiB block"));
    }
    const uint32_t node = config.node.value_or(0);
    if (node != 0 && !names_nodes_) {
      return BadInput(absl::StrCat(
          flag, ": node=", node,
          ": without ACPI, Linux puts such memory into node 0; add --acpi or "
          "leave node= out"));
    }
    const std::optional<Gpa> at =
        window.Take(config.max, std::max(plan.memory_block, block));
    if (!at) {
      return BadInput(absl::StrCat(
          flag, ": max=", config.max >> 20,
          " MiB does not fit below the PCI window of this host's physical "
          "addresses; the most is ",
          window.left() / block * block >> 20, " MiB"));
    }
    std::vector<uint32_t> host_nodes;
    if (node < config_.numa.size()) {
      host_nodes = config_.numa[node].host_nodes;
    }
    KVMLET_ASSIGN_OR_RETURN(
        std::unique_ptr<DeviceMemory> region,
        DeviceMemory::Create({.flag = flag,
                              .base = *at,
                              .size = config.max,
                              .block_size = block,
                              .backing = config.backing,
                              .host_nodes = std::move(host_nodes)}));
    plan.hotplug.push_back(
        {.range = *AddressRange::Make(at->value, config.max), .node = node});
    devices_.push_back(std::make_unique<Device>());
    devices_.back()->memory = &memory.AddDevice(std::move(region));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<MemDevice>> MemoryDevices::Build(
    size_t index, KvmVm& vm, EventLoop& io, QomObjects& objects) {
  Device& device = *devices_[index];
  const VirtioMemConfig& config = config_.virtio_mems[index];
  device.slots = std::make_unique<MemorySlots>(vm, *device.memory, io);
  KVMLET_RETURN_IF_ERROR(device.memory->AddListener(*device.slots));
  virtio::MemBlocks::Options options{.requested = config.size,
                                     .memory_block = memory_block_,
                                     .node = std::nullopt};
  // Without tables that name the nodes a node's number means nothing.
  if (names_nodes_) {
    options.node = static_cast<uint16_t>(config.node.value_or(0));
  }
  auto virtio = std::make_unique<MemDevice>(*device.memory, options, io,
                                            [this, index] { OnChange(index); });
  device.virtio = virtio.get();
  AddProperties(index, objects);
  return virtio;
}

std::string MemoryDevices::BackingOf(size_t index) const {
  return BackingName(config_.virtio_mems[index].backing);
}

void MemoryDevices::AddProperties(size_t index, QomObjects& objects) {
  const std::string& id = config_.virtio_mems[index].id;
  const auto add = [&](const char* name, const char* type, auto value) {
    objects.Add(id, "virtio-mem-pci", name,
                {.type = type,
                 .wants = QmpType::kAny,
                 .get = [this, index, value]() -> absl::StatusOr<Json> {
                   return Json(Describe(index).*value);
                 },
                 .set = nullptr});
  };
  add("size", "size", &MemoryDeviceInfo::plugged);
  add("block-size", "size", &MemoryDeviceInfo::block);
  add("memaddr", "uint64", &MemoryDeviceInfo::address);
  add("node", "uint32", &MemoryDeviceInfo::node);
  add("prealloc", "bool", &MemoryDeviceInfo::prealloc);
  objects.Add(
      id, "virtio-mem-pci", "requested-size",
      {.type = "size",
       .wants = QmpType::kUnsigned,
       .get = [this, index]() -> absl::StatusOr<Json> {
         return Json(Describe(index).requested);
       },
       .set =
           [this, index](const Json& value) {
             return devices_[index]->virtio->Resize(value.get<uint64_t>());
           }});
}

void MemoryDevices::SystemReset() {
  for (const auto& device : devices_) device->virtio->SystemReset();
}

void MemoryDevices::OnChange(size_t index) {
  if (devices_[index]->changed.exchange(true)) return;
  loop_.Post([this, index] {
    loop_.RunAfter(kEventPeriod, [this, index] { Tell(index); });
  });
}

void MemoryDevices::Tell(size_t index) {
  Device& device = *devices_[index];
  device.changed = false;
  const uint64_t size = device.memory->plugged_size();
  if (size == device.told) return;
  device.told = size;
  const std::string& id = config_.virtio_mems[index].id;
  events_.Emit("MEMORY_DEVICE_SIZE_CHANGE",
               {{"id", id},
                {"size", size},
                {"qom-path", absl::StrCat("/machine/peripheral/", id)}});
}

MemoryDeviceInfo MemoryDevices::Describe(size_t index) const {
  const Device& device = *devices_[index];
  const VirtioMemConfig& config = config_.virtio_mems[index];
  const MemDevice::Status status = device.virtio->status();
  Progress progress = ProgressOf(status);
  MemoryDeviceInfo info{.id = config.id,
                        .address = status.config.addr,
                        .requested = status.config.requested_size,
                        .plugged = status.config.plugged_size,
                        .usable = status.config.usable_region_size,
                        .max = status.config.region_size,
                        .block = status.config.block_size,
                        .node = config.node.value_or(0),
                        .prealloc = config.backing.prealloc,
                        .backing = BackingName(config.backing),
                        .state = progress.state,
                        .reason = std::move(progress.reason),
                        .slots = device.slots->count(),
                        .touched_unplugged = status.touched_unplugged};
  for (const auto& answers : status.answers) {
    info.acks += answers[static_cast<size_t>(MemResponseType::kAck)];
    info.nacks += answers[static_cast<size_t>(MemResponseType::kNack)];
    info.busies += answers[static_cast<size_t>(MemResponseType::kBusy)];
    info.errors += answers[static_cast<size_t>(MemResponseType::kError)];
  }
  return info;
}

std::vector<MemoryDeviceInfo> MemoryDevices::memory_devices() const {
  std::vector<MemoryDeviceInfo> infos;
  for (size_t i = 0; i < devices_.size(); ++i) infos.push_back(Describe(i));
  return infos;
}

absl::StatusOr<size_t> MemoryDevices::Find(std::string_view id) const {
  for (size_t i = 0; i < devices_.size(); ++i) {
    if (config_.virtio_mems[i].id == id) return i;
  }
  return absl::NotFoundError(
      absl::StrCat("there is no memory device '", std::string(id), "'"));
}

absl::StatusOr<std::vector<std::pair<uint64_t, uint64_t>>>
MemoryDevices::PluggedBlocks(std::string_view id) const {
  KVMLET_ASSIGN_OR_RETURN(const size_t index, Find(id));
  std::vector<std::pair<uint64_t, uint64_t>> runs;
  for (const BlockRun& run : devices_[index]->memory->PluggedRuns()) {
    runs.emplace_back(run.first, run.count);
  }
  return runs;
}

absl::Status MemoryDevices::AddFault(std::string_view id,
                                     const MemoryFault& fault) {
  KVMLET_ASSIGN_OR_RETURN(const size_t index, Find(id));
  static constexpr std::array<std::pair<const char*, MemRequestType>, 4>
      kRequests{{{"plug", MemRequestType::kPlug},
                 {"unplug", MemRequestType::kUnplug},
                 {"unplug-all", MemRequestType::kUnplugAll},
                 {"state", MemRequestType::kState}}};
  static constexpr std::array<std::pair<const char*, MemResponseType>, 3>
      kResponses{{{"nack", MemResponseType::kNack},
                  {"busy", MemResponseType::kBusy},
                  {"error", MemResponseType::kError}}};
  MemFault rule;
  rule.count = fault.count;
  rule.delay = fault.delay;
  KVMLET_ASSIGN_OR_RETURN(rule.request,
                          ByName(kRequests, "request", fault.request));
  KVMLET_ASSIGN_OR_RETURN(rule.response,
                          ByName(kResponses, "response", fault.response));
  if (!rule.response && rule.delay.count() == 0) {
    return absl::InvalidArgumentError(
        "a fault needs a response or a delay-ms, or both");
  }
  const uint64_t max = config_.virtio_mems[index].max;
  if (fault.offset != 0 && fault.size == 0) {
    return absl::InvalidArgumentError("an offset needs a size");
  }
  if (fault.offset > max || fault.size > max - fault.offset) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset and size go beyond the device's ", max, " bytes"));
  }
  rule.offset = fault.offset;
  rule.size = fault.size;
  devices_[index]->virtio->SetFault(rule);
  return absl::OkStatus();
}

absl::Status MemoryDevices::ClearFaults(std::string_view id) {
  KVMLET_ASSIGN_OR_RETURN(const size_t index, Find(id));
  devices_[index]->virtio->ClearFaults();
  return absl::OkStatus();
}

}  // namespace kvmlet
