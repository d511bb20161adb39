// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/explain.h"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"

namespace kvmlet::vfio {
namespace {

// The errno's own code, so that callers can tell them apart, our sentence, and
// the errno's name for a report.
absl::Status Refused(int error, const std::string& sentence) {
  absl::Status status = PosixError(error, sentence);
  return WithExitStatus(absl::Status(status.code(), status.message()),
                        ExitStatus::kOsRefused);
}

std::string GroupPath(const DeviceFacts& device) {
  return absl::StrCat("/dev/vfio/", device.group.value_or(0));
}

std::string DevicePath(const DeviceFacts& device) {
  return absl::StrCat("/dev/vfio/devices/", device.cdev);
}

// The members that keep the group from being used: "0000:01:00.1 (igb)".
std::vector<std::string> Obstacles(const DeviceFacts& device) {
  std::vector<std::string> list;
  for (const GroupMember& member : device.members) {
    if (IsHarmlessDriver(member.driver)) continue;
    list.push_back(absl::StrCat(member.bdf, " (", member.driver, ")"));
  }
  return list;
}

// Other processes than this one, which may have it open, too, by now.
std::vector<std::string> Others(const HostPaths& paths,
                                const std::string& file) {
  std::vector<std::string> holders = HoldersOf(paths, file);
  const std::string self = absl::StrCat(::getpid(), " (");
  std::erase_if(holders,
                [&self](const std::string& h) { return h.starts_with(self); });
  return holders;
}

std::string HeldBy(const HostPaths& paths, const std::string& file) {
  const std::vector<std::string> holders = Others(paths, file);
  if (holders.empty()) return "is in use by another process";
  return absl::StrCat("is held by process ", absl::StrJoin(holders, ", "));
}

std::string NameOf(const std::string& driver) {
  return driver.empty() ? "no driver" : driver;
}

// Each of the kernel's interfaces has a switch of its own for that.
absl::Status Unsafe(int error, const DeviceFacts& device, const char* module) {
  return Refused(
      error,
      absl::StrCat(device.bdf,
                   ": this host does not remap interrupts, so the "
                   "device could forge them; switch interrupt remapping "
                   "on, or accept the danger with 'echo 1 > /sys/module/",
                   module, "/parameters/allow_unsafe_interrupts'"));
}

absl::Status WrongToken(int error, const DeviceFacts& device, TokenUse token) {
  if (device.is_pf()) {
    return Refused(
        error,
        absl::StrCat(device.bdf,
                     token.fresh || !token.sent
                         ? ": its virtual functions are in use, so opening it "
                           "takes the token they were opened with: give "
                           "vf-token-file=PATH"
                         : ": incorrect VF token: its virtual functions are "
                           "in use and were opened with another one"));
  }
  return Refused(
      error, absl::StrCat(
                 device.bdf,
                 token.sent ? ": incorrect VF token: the user of the physical "
                              "function "
                            : ": VF token required: the user of the physical "
                              "function ",
                 device.pf,
                 token.sent ? " has set another one, or none yet"
                            : " sets it: give vf-token-file=PATH"));
}

}  // namespace

absl::Status CheckUsable(const DeviceFacts& device) {
  if (!device.group) {
    return HostLacks(absl::StrCat(
        device.bdf,
        ": it belongs to no IOMMU group; switch the IOMMU on in the firmware, "
        "and on Intel with intel_iommu=on on the host's command line"));
  }
  if (!IsVfioDriver(device.driver)) {
    return BadInput(
        absl::StrCat(device.bdf, ": it is bound to ", NameOf(device.driver),
                     ", not to vfio-pci: run 'kvmlet sriov bind ", device.bdf,
                     "' as root, when nothing on the host needs it"));
  }
  const std::vector<std::string> obstacles = Obstacles(device);
  if (!obstacles.empty()) {
    return BadInput(absl::StrCat(
        device.bdf, ": other devices of its IOMMU group ", *device.group,
        " are used by the host: ", absl::StrJoin(obstacles, ", "),
        "; bind these to vfio-pci, too, or leave them without a driver"));
  }
  return absl::OkStatus();
}

absl::Status ExplainOpenContainer(int error, const std::string& path) {
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return HostLacks(absl::StrCat(
        path, " does not exist: run modprobe vfio-pci, or use a kernel with ",
        path.ends_with("iommu") ? "CONFIG_IOMMUFD" : "CONFIG_VFIO"));
  }
  return Refused(error, absl::StrCat(path, ": it cannot be opened"));
}

absl::Status ExplainOpenGroup(int error, const HostPaths& paths,
                              const DeviceFacts& device) {
  const std::string path = GroupPath(device);
  switch (error) {
    case EBUSY:
      // The kernel lends a group by one of its interfaces at a time.
      if (!device.cdev.empty() && !Others(paths, DevicePath(device)).empty()) {
        return ExplainOpenCdev(error, paths, device);
      }
      return Refused(error, absl::StrCat(device.bdf, ": its group's file ",
                                         path, " ", HeldBy(paths, path)));
    case EACCES:
      return Refused(
          error,
          absl::StrCat(device.bdf, ": you may not open ", path,
                       ": as root, run 'chown USER ", path,
                       "', or let 'kvmlet sriov serve' hand the device over"));
    case EPERM:
      return Refused(error,
                     absl::StrCat(device.bdf,
                                  ": the group has no IOMMU; a guest cannot "
                                  "use such a device"));
    case ENOENT:
    case ENODEV:
      return Refused(error, absl::StrCat(device.bdf, ": ", path,
                                         " is not there: it was just taken "
                                         "from vfio-pci, or the kernel has "
                                         "no VFIO groups"));
    default:
      return Refused(error, absl::StrCat(device.bdf, ": open ", path));
  }
}

absl::Status ExplainSetContainer(int error, const DeviceFacts& device) {
  const std::string group =
      absl::StrCat(device.bdf, ": IOMMU group ", device.group.value_or(0));
  switch (error) {
    case EPERM: {
      const std::vector<std::string> obstacles = Obstacles(device);
      return Refused(
          error, absl::StrCat(group, " belongs to somebody else: ",
                              obstacles.empty()
                                  ? "another VFIO user, or a driver of the host"
                                  : absl::StrJoin(obstacles, ", ")));
    }
    case EBUSY:
      return Refused(error, absl::StrCat(group,
                                         " is in an address space of another "
                                         "user of the IOMMU"));
    case EINVAL:
      return Refused(
          error,
          absl::StrCat(group,
                       " cannot join the guest's address space: addresses "
                       "that it reserves lie in the guest's memory (see "
                       "/sys/kernel/iommu_groups/",
                       device.group.value_or(0), "/reserved_regions)"));
    default:
      return Refused(error, absl::StrCat(group, ": VFIO_GROUP_SET_CONTAINER"));
  }
}

absl::Status ExplainSetIommu(int error, const DeviceFacts& device) {
  if (error == EPERM) return Unsafe(error, device, "vfio_iommu_type1");
  return Refused(error, absl::StrCat(device.bdf, ": VFIO_SET_IOMMU"));
}

absl::Status ExplainGetDevice(int error, const DeviceFacts& device,
                              TokenUse token) {
  switch (error) {
    case EACCES:
      return WrongToken(error, device, token);
    case EINVAL:
      return Refused(
          error, absl::StrCat(device.bdf,
                              token.sent ? ": the kernel says that no VF token "
                                           "applies: its physical function "
                                           "is not on vfio-pci"
                                         : ": the kernel does not open it"));
    case ENODEV:
      return Refused(error,
                     absl::StrCat(device.bdf, ": it is not in group ",
                                  device.group.value_or(0), " any more"));
    case EAGAIN:
      return Refused(error, absl::StrCat(device.bdf,
                                         ": it is being reset or removed "
                                         "right now; try again"));
    default:
      return Refused(error, absl::StrCat(device.bdf, ": opening the device"));
  }
}

absl::Status ExplainOpenCdev(int error, const HostPaths& paths,
                             const DeviceFacts& device) {
  const std::string path = DevicePath(device);
  if (error == EBUSY) {
    return Refused(
        error, absl::StrCat(device.bdf, ": ", path, " ", HeldBy(paths, path)));
  }
  if (error == EACCES) {
    return Refused(error,
                   absl::StrCat(device.bdf, ": you may not open ", path,
                                ": as root, run 'chown USER ", path, "'"));
  }
  return Refused(error, absl::StrCat(device.bdf, ": open ", path));
}

absl::Status ExplainBind(int error, const HostPaths& paths,
                         const DeviceFacts& device, TokenUse token) {
  switch (error) {
    case EBUSY:
      return ExplainOpenGroup(error, paths, device);
    case E2BIG:
      return WithExitStatus(
          absl::UnavailableError(absl::StrCat(
              device.bdf,
              ": this kernel (6.17 to 6.18.2) has a bug and takes no VF token "
              "through iommufd: use 6.18.3 or newer, or leave iommufd out")),
          ExitStatus::kHostLacks);
    case EACCES:
      return WrongToken(error, device, token);
    case EPERM:
      // A group that is shared may have another owner, too.
      return device.members.empty() ? Unsafe(error, device, "iommufd")
                                    : ExplainSetContainer(error, device);
    case EINVAL:
      if (!Others(paths, DevicePath(device)).empty()) {
        return ExplainOpenCdev(EBUSY, paths, device);
      }
      if (token.sent) {
        return WithExitStatus(
            absl::UnavailableError(absl::StrCat(
                device.bdf,
                ": this kernel takes no VF token through iommufd (it needs "
                "6.18.3): leave iommufd out")),
            ExitStatus::kHostLacks);
      }
      return Refused(error, absl::StrCat(device.bdf,
                                         ": it is in use already, or cannot "
                                         "be used through iommufd"));
    case EAGAIN:
      return ExplainGetDevice(error, device, token);
    default:
      return Refused(error,
                     absl::StrCat(device.bdf, ": VFIO_DEVICE_BIND_IOMMUFD"));
  }
}

absl::Status ExplainAttach(int error, const DeviceFacts& device) {
  if (error == EINVAL || error == EADDRINUSE) {
    return Refused(error, absl::StrCat(device.bdf,
                                       ": addresses that the device reserves "
                                       "lie in the guest's memory, or its "
                                       "IOMMU is not cache-coherent"));
  }
  return Refused(error,
                 absl::StrCat(device.bdf, ": VFIO_DEVICE_ATTACH_IOMMUFD_PT"));
}

absl::Status ExplainMap(int error, const MapRequest& request) {
  const std::string range =
      absl::StrFormat("mapping guest memory %#x to %#x for devices",
                      request.iova, request.iova + request.size - 1);
  switch (error) {
    case ENOMEM:
      if (request.locked_need > request.locked_limit) {
        return Refused(
            error,
            absl::StrCat(range, ": devices need all of it locked: ",
                         request.locked_need >> 10, " KiB, and the limit is ",
                         request.locked_limit >> 10,
                         " KiB; raise it with 'prlimit --pid ", ::getpid(),
                         " --memlock=", request.locked_need,
                         "', before the next start with 'ulimit -l ",
                         request.locked_need >> 10, "', or LimitMEMLOCK=",
                         request.locked_need, " in a systemd unit"));
      }
      return Refused(error, absl::StrCat(range,
                                         ": no memory, or over the "
                                         "limit of locked memory"));
    case ENOSPC:
      return Refused(error,
                     absl::StrCat(range,
                                  ": too many mappings; raise "
                                  "/sys/module/vfio_iommu_type1/parameters/"
                                  "dma_entry_limit, or use larger blocks"));
    case EINVAL:
      return Refused(error, absl::StrCat(range,
                                         ": the IOMMU reserves a part of these "
                                         "addresses or does not reach them"));
    case EEXIST:
      return Refused(error, absl::StrCat(range, ": it is mapped already"));
    default:
      return Refused(error, range);
  }
}

}  // namespace kvmlet::vfio
