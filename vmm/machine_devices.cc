// SPDX-License-Identifier: Apache-2.0
// What the machine contains beside its fixed devices: the visible list, and
// one short function for each kind of device.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/backend/block_backend.h"
#include "devices/backend/net_backend.h"
#include "devices/virtio/console.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/transport.h"
#include "devices/virtio/vsock.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/machine.h"

namespace kvmlet {
namespace {

// More queues than this do not make a disk faster, but cost threads.
constexpr uint32_t kMaxDiskQueues = 4;

NetOptions::Kind ToBackendKind(NetKind kind) {
  switch (kind) {
    case NetKind::kTap:
      return NetOptions::Kind::kTap;
    case NetKind::kPasst:
      return NetOptions::Kind::kPasst;
    case NetKind::kFd:
      return NetOptions::Kind::kFd;
  }
  return NetOptions::Kind::kTap;
}

}  // namespace

absl::Status Machine::AttachDevices() {
  const VmConfig& config = context_.config;
  KVMLET_RETURN_IF_ERROR(AttachConsole());
  if (config.rng) KVMLET_RETURN_IF_ERROR(AttachRng());
  for (const DiskConfig& disk : config.disks) {
    KVMLET_RETURN_IF_ERROR(AttachDisk(disk));
  }
  for (const NetConfig& net : config.nets) {
    KVMLET_RETURN_IF_ERROR(AttachNet(net));
  }
  for (size_t i = 0; i < config.pmems.size(); ++i) {
    KVMLET_RETURN_IF_ERROR(
        AttachPmem(config.pmems[i], memory_->files()[i]->region()));
  }
  if (config.balloon) KVMLET_RETURN_IF_ERROR(AttachBalloon(*config.balloon));
  for (size_t i = 0; i < memory_devices_->count(); ++i) {
    KVMLET_RETURN_IF_ERROR(AttachVirtioMem(i));
  }
  if (config.vsock_cid) {
    KVMLET_RETURN_IF_ERROR(AttachVsock(*config.vsock_cid));
  }
  for (const VfioConfig& vfio : config.vfio) {
    KVMLET_RETURN_IF_ERROR(AttachVfio(vfio, pci::PciRoot::kAllSlots));
  }
  return absl::OkStatus();
}

absl::StatusOr<EventLoop*> Machine::AddIoThread(std::string name) {
  KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<IoThread> thread,
                          IoThread::Create(std::move(name)));
  io_threads_.push_back(std::move(thread));
  return &io_threads_.back()->loop();
}

absl::StatusOr<EventLoop*> Machine::SharedIoLoop() {
  if (shared_loop_ == nullptr) {
    KVMLET_ASSIGN_OR_RETURN(shared_loop_, AddIoThread("io"));
  }
  return shared_loop_;
}

absl::Status Machine::AttachVirtio(std::unique_ptr<virtio::VirtioDevice> device,
                                   std::string id, std::string backend) {
  const std::string type = absl::StrCat(
      absl::string_view(device->name().data(), device->name().size()), "-pci");
  KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop, SharedIoLoop());
  KVMLET_ASSIGN_OR_RETURN(
      auto transport,
      virtio::VirtioPciTransport::Create(std::move(device), *memory_, *loop));
  KVMLET_ASSIGN_OR_RETURN(const pci::PciAddress at,
                          pci_->Add(std::move(transport)));
  device_infos_.push_back(
      {.id = std::move(id),
       .type = type,
       .address = absl::StrFormat("00:%02x.%x", at.device, at.function),
       .backend = std::move(backend)});
  return absl::OkStatus();
}

absl::Status Machine::AttachConsole() {
  KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop, SharedIoLoop());
  verdict_port_ = std::make_unique<VerdictPort>(*this);
  std::vector<virtio::ConsoleDevice::Port> ports(2);
  ports[0].console = context_.console != nullptr;
  ports[0].backend = context_.console;
  ports[1].name = VerdictPort::kName;
  ports[1].output = [this](std::span<const std::byte> data) {
    verdict_port_->OnOutput(data);
  };
  return AttachVirtio(virtio::ConsoleDevice::Create(std::move(ports), *loop),
                      "console0", VerdictPort::kName);
}

absl::Status Machine::AttachRng() {
  KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop, SharedIoLoop());
  return AttachVirtio(std::make_unique<virtio::RngDevice>(*loop), "rng0",
                      "getrandom");
}

absl::Status Machine::AttachDisk(const DiskConfig& config) {
  const uint32_t wanted =
      config.queues != 0 ? config.queues
                         : std::min(context_.config.cpus.count, kMaxDiskQueues);
  const DiskOptions options{.path = config.path,
                            .id = config.id,
                            .serial = config.serial,
                            .read_only = config.read_only,
                            .direct = config.direct,
                            .queues = static_cast<uint16_t>(wanted)};
  KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<BlockBackend> backend,
                          OpenDisk(options));
  std::vector<EventLoop*> loops;
  for (uint32_t i = 0; i < std::min(wanted, kMaxDiskQueues); ++i) {
    KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop,
                            AddIoThread(absl::StrCat(config.id, "-", i)));
    loops.push_back(loop);
  }
  KVMLET_ASSIGN_OR_RETURN(
      auto disk,
      virtio::BlkDevice::Create(options, std::move(backend), std::move(loops)));
  disks_[config.id] = disk.get();
  return AttachVirtio(std::move(disk), config.id, config.path);
}

absl::Status Machine::AttachNet(const NetConfig& config) {
  const NetOptions options{.kind = ToBackendKind(config.kind),
                           .tap = config.tap,
                           .fd = config.fd,
                           .id = config.id,
                           .mac = config.mac,
                           .queue_pairs = config.queue_pairs,
                           .vhost = config.vhost};
  KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<NetBackend> backend,
                          OpenNetBackend(options));
  std::string name(backend->name());
  std::vector<EventLoop*> loops;
  for (uint16_t i = 0; i < options.queue_pairs; ++i) {
    KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop,
                            AddIoThread(absl::StrCat(config.id, "-", i)));
    loops.push_back(loop);
  }
  KVMLET_ASSIGN_OR_RETURN(
      auto net,
      virtio::NetDevice::Create(options, std::move(backend), std::move(loops)));
  return AttachVirtio(std::move(net), config.id, std::move(name));
}

absl::Status Machine::AttachBalloon(const BalloonConfig& config) {
  // Giving back a lot of memory takes its time: a thread of its own.
  KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop, AddIoThread(config.id));
  balloon_ = std::make_unique<BalloonControl>(context_.loop, context_.events,
                                              *memory_);
  return AttachVirtio(balloon_->CreateDevice(config, *loop, objects_),
                      config.id, config.reporting ? "reporting" : "");
}

absl::Status Machine::AttachVsock(uint64_t cid) {
  KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop, SharedIoLoop());
  KVMLET_ASSIGN_OR_RETURN(auto vsock, virtio::VsockDevice::Create(cid, *loop));
  return AttachVirtio(std::move(vsock), "vsock0", absl::StrCat("cid ", cid));
}

absl::Status Machine::PlaceMemoryDevices() {
  memory_devices_ = std::make_unique<MemoryDevices>(
      context_.config, context_.loop, context_.events);
  const std::optional<AddressRange>& window = plan_->device_memory;
  device_window_.emplace(Gpa{window ? window->base() : 0},
                         window ? window->size() : 0);
  return memory_devices_->Place(*plan_, *device_window_, *memory_);
}

// A thread each: a plug may take long, and devices work side by side.
absl::Status Machine::AttachVirtioMem(size_t index) {
  const std::string& id = memory_devices_->config(index).id;
  KVMLET_ASSIGN_OR_RETURN(EventLoop* const loop, AddIoThread(id));
  KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<virtio::MemDevice> device,
                          memory_devices_->Build(index, *vm_, *loop, objects_));
  return AttachVirtio(std::move(device), id, memory_devices_->BackingOf(index));
}

}  // namespace kvmlet
