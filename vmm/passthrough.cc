// SPDX-License-Identifier: Apache-2.0
#include "vmm/passthrough.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/vfio/explain.h"
#include "devices/vfio/hand_over.h"
#include "devices/vfio/lock_limit.h"
#include "devices/vfio/token_source.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unix_socket.h"

namespace kvmlet {
namespace {

// The kernel may take a second to open a device that sleeps or is reset.
constexpr std::chrono::seconds kBrokerWait{20};

}  // namespace

absl::StatusOr<std::unique_ptr<Passthrough>> Passthrough::Create(
    const Context& context) {
  if (context.config.balloon) {
    return UsageError(
        "--balloon: passed-through devices hold all of the guest's memory, "
        "nothing of it can be given back; leave --balloon or --vfio out");
  }
  const auto& devices = context.config.vfio;
  const auto from_broker = static_cast<size_t>(std::ranges::count_if(
      devices, [](const VfioConfig& c) { return c.vf.has_value(); }));
  const uint64_t spaces = from_broker + (from_broker < devices.size() ? 1 : 0);
  KVMLET_RETURN_IF_ERROR(vfio::CheckLockLimit(vfio::ReadLockLimit(),
                                              context.memory.size() * spaces));
  std::unique_ptr<Passthrough> made(new Passthrough(context));
  KVMLET_ASSIGN_OR_RETURN(made->kvm_, KvmVfio::Create(context.vm));
  return made;
}

Passthrough::~Passthrough() {
  ForgetMemoryDevices();
  for (const auto& device : devices_) {
    context_.loop.Remove(device->request.get());
    context_.loop.Remove(device->error.get());
  }
}

vfio::AddressSpace::Context Passthrough::SpaceContext() const {
  return {.calls = vfio::LinuxCalls(), .paths = {}, .kvm = kvm_.get()};
}

absl::StatusOr<std::unique_ptr<vfio::DeviceHandle>> Passthrough::OpenHere(
    const VfioConfig& config, std::string& bdf) {
  KVMLET_ASSIGN_OR_RETURN(bdf, vfio::ParseDeviceName(config.device));
  KVMLET_ASSIGN_OR_RETURN(const vfio::DeviceFacts facts,
                          vfio::ReadFacts({}, bdf));
  KVMLET_RETURN_IF_ERROR(vfio::CheckUsable(facts));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<vfio::Token> given,
                          vfio::ReadToken({.text = config.vf_token,
                                           .file = config.vf_token_file,
                                           .fd = config.vf_token_fd}));
  KVMLET_ASSIGN_OR_RETURN(const vfio::TokenDecision token,
                          vfio::DecideToken(facts, given));
  if (own_space_ == nullptr) {
    spaces_.push_back(config.iommufd ? vfio::MakeIommufd(SpaceContext())
                                     : vfio::MakeContainer(SpaceContext()));
    own_space_ = spaces_.back().get();
  }
  return own_space_->Open(facts, token);
}

absl::StatusOr<std::unique_ptr<vfio::DeviceHandle>> Passthrough::OpenFromBroker(
    const VfioConfig& config, std::string& bdf) {
  const std::string path = config.device.substr(config.device.find(':') + 1);
  KVMLET_ASSIGN_OR_RETURN(
      const UniqueFd socket,
      ConnectUnix(path, std::chrono::steady_clock::now() + kBrokerWait));
  KVMLET_RETURN_IF_ERROR(
      vfio::SendLine(socket.get(), absl::StrCat("take ", *config.vf)));
  KVMLET_ASSIGN_OR_RETURN(vfio::HandedDevice handed,
                          vfio::ReceiveDevice(socket.get(), kBrokerWait));
  bdf = handed.bdf;
  vfio::DeviceFacts facts;
  facts.bdf = handed.bdf;
  facts.group = handed.group;
  spaces_.push_back(
      vfio::MakeHandedContainer(SpaceContext(), std::move(handed)));
  return spaces_.back()->Open(facts, {});
}

absl::StatusOr<std::unique_ptr<pci::PciDevice>> Passthrough::Open(
    const VfioConfig& config) {
  std::string bdf;
  KVMLET_ASSIGN_OR_RETURN(auto handle, config.vf ? OpenFromBroker(config, bdf)
                                                 : OpenHere(config, bdf));
  KVMLET_ASSIGN_OR_RETURN(
      auto host,
      vfio::HostDevice::Create(vfio::LinuxCalls(), std::move(handle), bdf));
  KVMLET_ASSIGN_OR_RETURN(EventFd request, EventFd::Create());
  KVMLET_ASSIGN_OR_RETURN(EventFd error, EventFd::Create());
  auto device = std::make_unique<Device>(Device{.id = config.id,
                                                .function = nullptr,
                                                .request = std::move(request),
                                                .error = std::move(error)});
  Device& kept = *device;
  {
    const std::lock_guard lock(mutex_);
    devices_.push_back(std::move(device));
  }
  KVMLET_RETURN_IF_ERROR(Watch(kept, *host));
  KVMLET_ASSIGN_OR_RETURN(auto function,
                          vfio::VfioPci::Create(std::move(host), context_.vm));
  kept.function = function.get();
  return function;
}

absl::Status Passthrough::Watch(Device& device, vfio::HostDevice& host) {
  struct Source {
    vfio::IrqIndex index;
    const EventFd& event;
    void (Passthrough::*handler)(Device&);
  };
  for (const Source& source :
       {Source{vfio::IrqIndex::kRequest, device.request,
               &Passthrough::OnRequest},
        Source{vfio::IrqIndex::kError, device.error, &Passthrough::OnError}}) {
    if (host.irq(source.index).count == 0) continue;
    const int fd = source.event.get();
    const int got = host.SetTriggers(source.index, 0, std::span(&fd, 1));
    if (got != 0) {
      LOG(WARNING) << host.name() << ": the kernel does not report "
                   << (source.index == vfio::IrqIndex::kError
                           ? "errors of it"
                           : "that it is wanted back");
      continue;
    }
    KVMLET_RETURN_IF_ERROR(context_.loop.Add(
        fd, EPOLLIN, [this, &device, handler = source.handler](uint32_t) {
          (this->*handler)(device);
        }));
  }
  return absl::OkStatus();
}

// Whoever takes the device (an unbind, fewer virtual functions) waits in the
// kernel, with a lock that stops all of PCI's hot-plug, until it is let go.
void Passthrough::OnRequest(Device& device) {
  if (!device.request.Consume() || device.function == nullptr) return;
  LOG(WARNING) << device.id
               << ": the host takes the device back; the guest loses it now";
  device.function->Detach();
  context_.events.Emit(
      "DEVICE_DELETED",
      {{"device", device.id}, {"path", "/machine/peripheral/" + device.id}});
}

void Passthrough::OnError(Device& device) {
  if (!device.error.Consume()) return;
  LOG(ERROR) << device.id << ": the device reports an uncorrectable error";
  context_.events.Emit("__org.kvmlet_DEVICE_ERROR", {{"device", device.id}});
}

absl::Status Passthrough::MapRegion(const RamRegion& region) {
  for (const auto& space : spaces_) {
    KVMLET_RETURN_IF_ERROR(
        space->Map(region.base.value, region.size, region.host));
    mapped_.emplace_back(space.get(), region.base.value);
  }
  return absl::OkStatus();
}

absl::Status Passthrough::MapMemory() {
  for (const RamRegion& region : context_.memory.regions()) {
    const absl::Status status = MapRegion(region);
    if (!status.ok()) return Prefixed("--vfio", status);
  }
  // The kernel does not lock pages of most file systems, or of a file that is
  // only read.
  for (const auto& file : context_.memory.files()) {
    const absl::Status status = MapRegion(file->region());
    LOG_IF(WARNING, !status.ok())
        << "passed-through devices cannot reach --pmem: " << status.message();
  }
  for (const auto& memory : context_.memory.devices()) {
    maps_.push_back(std::make_unique<DmaMap>(spaces_, memory->block_size()));
    KVMLET_RETURN_IF_ERROR(memory->AddListener(*maps_.back()));
  }
  return absl::OkStatus();
}

void Passthrough::ForgetMemoryDevices() {
  for (size_t i = 0; i < maps_.size(); ++i) {
    context_.memory.devices()[i]->RemoveListener(*maps_[i]);
  }
  maps_.clear();
}

absl::Status Passthrough::UnmapMemory() {
  ForgetMemoryDevices();
  absl::Status status;
  for (const auto& [space, address] : mapped_) {
    status.Update(space->Unmap(address));
  }
  mapped_.clear();
  return status;
}

bool Passthrough::OnMemoryFault(uint32_t vcpu) {
  const std::lock_guard lock(mutex_);
  for (const auto& device : devices_) {
    if (device->function == nullptr || !device->function->TrapBars()) continue;
    retries_.Cleared();
    LOG_FIRST_N(WARNING, 10)
        << device->id << ": the guest touched it while the host could not "
        << "reach it; its registers are reached slowly until it is set up anew";
  }
  return retries_.MayRetry(vcpu);
}

}  // namespace kvmlet
