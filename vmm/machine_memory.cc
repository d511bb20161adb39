// SPDX-License-Identifier: Apache-2.0
// The machine's memory beside its plain RAM: where it lies, and the host's
// NUMA nodes behind it.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "devices/virtio/pmem.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/machine.h"
#include "vmm/memory/file_memory.h"
#include "vmm/memory/host_nodes.h"

namespace kvmlet {
namespace {

FileMemoryOptions OptionsOf(const PmemConfig& config) {
  return {.flag = "--pmem",
          .path = config.path,
          .read_only = config.read_only,
          .dax = config.dax};
}

}  // namespace

std::vector<NodeBinding> Machine::NodeBindings() const {
  std::vector<NodeBinding> bindings;
  for (const NumaNodeConfig& node : context_.config.numa) {
    bindings.push_back({.size = node.memory, .host_nodes = node.host_nodes});
  }
  return bindings;
}

// With what may be lost to alignment.
absl::StatusOr<uint64_t> Machine::DeviceMemoryWanted() const {
  constexpr uint64_t k2GiB = 2ull << 30;
  uint64_t wanted = 0;
  for (const VirtioMemConfig& config : context_.config.virtio_mems) {
    wanted += config.max + std::max(config.block, k2GiB);
  }
  for (const PmemConfig& config : context_.config.pmems) {
    KVMLET_ASSIGN_OR_RETURN(const uint64_t size,
                            FileMemory::SizeOf(OptionsOf(config)));
    wanted += size + k2GiB;
  }
  return wanted;
}

absl::StatusOr<Gpa> Machine::PlaceDeviceMemory(std::string_view what,
                                               uint64_t size,
                                               uint64_t alignment) {
  const std::optional<Gpa> at = device_window_->Take(size, alignment);
  if (at) return *at;
  return BadInput(absl::StrCat(
      std::string(what), ": ", size >> 20,
      " MiB do not fit between RAM and the PCI window of this host's "
      "guest-physical addresses, where ",
      device_window_->left() >> 20, " MiB are left"));
}

absl::Status Machine::MapPmem() {
  for (const PmemConfig& config : context_.config.pmems) {
    const FileMemoryOptions options = OptionsOf(config);
    KVMLET_ASSIGN_OR_RETURN(const uint64_t size, FileMemory::SizeOf(options));
    const uint64_t alignment =
        std::max(plan_->memory_block, FileMemory::AlignmentFor(size));
    KVMLET_ASSIGN_OR_RETURN(
        const Gpa base, PlaceDeviceMemory(absl::StrCat("--pmem ", config.path),
                                          size, alignment));
    KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<FileMemory> file,
                            FileMemory::Map(options, base, size));
    const RamRegion region = file->region();
    KVMLET_RETURN_IF_ERROR(
        vm_->AddMemorySlot(region.base, region.size, region.host, 0).status());
    memory_->AddFile(std::move(file));
  }
  return absl::OkStatus();
}

absl::Status Machine::AttachPmem(const PmemConfig& config,
                                 const RamRegion& region) {
  std::unique_ptr<BlockBackend> disk;
  if (!config.read_only) {
    // The mapping's own file again: locked, and ready to be flushed.
    DiskOptions options;
    options.path = config.path;
    options.id = config.id;
    options.flag = "--pmem";
    KVMLET_ASSIGN_OR_RETURN(disk, OpenDisk(options));
  }
  KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop, AddIoThread(config.id));
  auto device = std::make_unique<virtio::PmemDevice>(
      virtio::PmemConfig{.start = region.base.value, .size = region.size},
      std::move(disk), absl::StrCat("virtio-pmem ", config.id), *loop);
  memory_devices_->AddFixed({.id = config.id,
                             .address = region.base.value,
                             .size = region.size,
                             .path = config.path,
                             .read_only = config.read_only});
  AddPmemProperties(config, region);
  return AttachVirtio(std::move(device), config.id, config.path);
}

void Machine::AddPmemProperties(const PmemConfig& config,
                                const RamRegion& region) {
  const auto add = [&](const char* name, uint64_t value) {
    objects_.Add(config.id, "virtio-pmem-pci", name,
                 {.type = "uint64",
                  .get = [value] { return Json(value); },
                  .set = nullptr});
  };
  add("memaddr", region.base.value);
  add("size", region.size);
}

}  // namespace kvmlet
