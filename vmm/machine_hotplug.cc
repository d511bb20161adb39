// SPDX-License-Identifier: Apache-2.0
// Devices that come and go while the guest runs. A device leaves in two steps:
// the guest is asked, and gives its slot up when its driver is done; where the
// host waits for the device, the guest has a deadline.
#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/machine.h"

namespace kvmlet {
namespace {

// The kernel takes virtual functions away one after another, and holds a lock
// of all PCI devices meanwhile: a host with a few of them is not to wait long.
constexpr std::chrono::seconds kUnplugDeadline{4};

}  // namespace

absl::Status Machine::OpenPassthrough() {
  KVMLET_ASSIGN_OR_RETURN(
      passthrough_,
      Passthrough::Create({.config = context_.config,
                           .vm = *vm_,
                           .memory = *memory_,
                           .loop = context_.loop,
                           .events = context_.events,
                           .on_request = [this](const std::string& id) {
                             OnHostRequest(id);
                           }}));
  return absl::OkStatus();
}

absl::Status Machine::AttachVfio(const VfioConfig& config, uint32_t slots) {
  if (passthrough_ == nullptr) KVMLET_RETURN_IF_ERROR(OpenPassthrough());
  auto function = passthrough_->Open(config);
  if (!function.ok()) return Prefixed("--vfio", function.status());
  const auto at = pci_->AddRemovable(*std::move(function), slots);
  if (!at.ok()) {
    passthrough_->Forget(config.id);
    return at.status();
  }
  device_infos_.push_back(
      {.id = config.id,
       .type = "vfio-pci",
       .address = absl::StrFormat("00:%02x.%x", at->device, at->function),
       .backend = config.device});
  removables_[config.id].address = *at;
  return absl::OkStatus();
}

absl::Status Machine::PlugDevice(const PlugRequest& request) {
  if (ended_) return absl::FailedPreconditionError("the machine has ended");
  const uint32_t slots = platform_->pci_hotplug_slots();
  if (slots == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("guests on ", arch_name(),
                     " cannot be told of new devices: give --vfio at the "
                     "start"));
  }
  if (request.id.empty()) return absl::InvalidArgumentError("id is empty");
  if (std::ranges::count(device_infos_, request.id, &DeviceInfo::id) > 0) {
    return absl::AlreadyExistsError(
        absl::StrCat("Duplicate device ID '", request.id, "'"));
  }
  // Checked as if it had been there from the start.
  VmConfig checked = context_.config;
  checked.vfio = {{.device = request.host,
                   .vf = request.vf,
                   .id = request.id,
                   .vf_token = request.vf_token,
                   .vf_token_file = request.vf_token_file,
                   .iommufd = request.iommufd,
                   .rom = request.rom,
                   .rom_file = request.rom_file}};
  KVMLET_RETURN_IF_ERROR(checked.Validate());
  if (passthrough_ == nullptr) {
    // The vCPUs look for it when they hit what the host cannot reach.
    absl::Status status;
    WhilePaused([&] { status = OpenPassthrough(); });
    if (status.ok()) status = passthrough_->MapMemory();
    if (!status.ok()) return status;
  }
  const uint32_t used = pci_->HotplugSlots(0);
  const uint32_t sure = slots & ~used & ~unsure_;
  KVMLET_RETURN_IF_ERROR(
      AttachVfio(checked.vfio.front(), sure != 0 ? sure : slots));
  platform_->OnPciChange(arch::PciChange::kPlugged,
                         removables_[request.id].address.device);
  return absl::OkStatus();
}

absl::Status Machine::UnplugDevice(std::string_view id, bool force) {
  if (ended_) return absl::FailedPreconditionError("the machine has ended");
  const std::string name(id);
  if (std::ranges::count(device_infos_, name, &DeviceInfo::id) == 0) {
    return absl::NotFoundError(absl::StrCat("Device '", name, "' not found"));
  }
  const auto removable = removables_.find(name);
  if (removable == removables_.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("Device '", name, "' stays: only vfio-pci devices leave"));
  }
  if (force) {
    RemoveDevice(name, /*ejected=*/false);
  } else if (CanAskFor(removable->second)) {
    AskForDevice(name);
  } else {
    return absl::FailedPreconditionError(
        absl::StrCat("the guest cannot be asked for '", name,
                     "': give __org.kvmlet_force=true to take it away"));
  }
  return absl::OkStatus();
}

// The guest that was loaded last knows the slot.
bool Machine::CanAskFor(const Removable& removable) const {
  const uint32_t slots = platform_->pci_hotplug_slots();
  return (slots >> removable.address.device & 1) != 0;
}

// Once more when it was asked before: it may not have listened.
void Machine::AskForDevice(const std::string& id) {
  Removable& removable = removables_.at(id);
  removable.asked = true;
  platform_->OnPciChange(arch::PciChange::kAsked, removable.address.device);
}

void Machine::OnHostRequest(const std::string& id) {
  const auto found = removables_.find(id);
  if (found == removables_.end() || found->second.deadline) return;
  if (!CanAskFor(found->second) || run_state() != RunState::kRunning) {
    LOG(WARNING) << id << ": the host takes the device back; the guest, which "
                 << "cannot be asked, loses it now";
    return RemoveDevice(id, /*ejected=*/false);
  }
  LOG(WARNING) << id << ": the host takes the device back; the guest has "
               << kUnplugDeadline.count() << " seconds to give it up";
  AskForDevice(id);
  found->second.deadline = context_.loop.RunAfter(kUnplugDeadline, [this, id] {
    const auto late = removables_.find(id);
    if (late == removables_.end()) return;
    late->second.deadline.reset();
    LOG(WARNING) << id << ": the guest did not give it up, and loses it now";
    RemoveDevice(id, /*ejected=*/false);
  });
}

void Machine::EjectPci(uint32_t slots) {
  // A guest can say so faster than it can be done: one message at a time.
  if (ejected_.fetch_or(slots) != 0) return;
  context_.loop.Post([this] { OnEjected(ejected_.exchange(0)); });
}

void Machine::OnEjected(uint32_t slots) {
  if (ended_) return;
  unsure_ &= ~slots;
  std::vector<std::string> ids;
  for (const auto& [id, removable] : removables_) {
    if ((slots >> removable.address.device & 1) != 0) ids.push_back(id);
  }
  for (const std::string& id : ids) RemoveDevice(id, /*ejected=*/true);
}

void Machine::RemoveDevice(const std::string& id, bool ejected) {
  // First, without waiting for a pause: the host waits for nothing else. It is
  // asked for all the same: vCPUs that are at the device all the time would
  // keep it.
  for (const auto& vcpu : vcpus_) vcpu->RequestPause();
  passthrough_->Detach(id);
  WhilePaused([&] { TakeAway(id, ejected); });
}

void Machine::TakeAway(const std::string& id, bool ejected) {
  const auto found = removables_.find(id);
  if (found == removables_.end()) return;
  const Removable removable = found->second;
  removables_.erase(found);
  if (removable.deadline) context_.loop.Cancel(*removable.deadline);
  {
    const auto function = pci_->Remove(removable.address);
    passthrough_->Forget(id);  // while it lives
  }
  std::erase_if(device_infos_,
                [&id](const DeviceInfo& info) { return info.id == id; });
  if (!ejected) {
    unsure_ |= 1u << removable.address.device;
    platform_->OnPciChange(arch::PciChange::kGone, removable.address.device);
  }
  context_.events.Emit("DEVICE_DELETED",
                       {{"device", id}, {"path", "/machine/peripheral/" + id}});
}

void Machine::FinishUnplugs() {
  ejected_ = 0;
  std::vector<std::string> ids;
  for (const auto& [id, removable] : removables_) {
    if (removable.asked) ids.push_back(id);
  }
  for (const std::string& id : ids) TakeAway(id, /*ejected=*/true);
  unsure_ = 0;
}

}  // namespace kvmlet
