// SPDX-License-Identifier: Apache-2.0
#include "vmm/sriov/host_pci.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::sriov {
namespace {

using vfio::DeviceFacts;
using vfio::HostPaths;

constexpr std::chrono::milliseconds kLook{10};

// In the child: nothing but system calls.
[[noreturn]] void WriteAndExit(const char* path, const char* text,
                               size_t size) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || ::write(fd, text, size) < 0) ::_exit(errno);
  ::_exit(0);
}

absl::Status Failed(int error, const std::string& what) {
  if (error == EACCES || error == EPERM) {
    return OsRefused(error, absl::StrCat(what, ": this takes root"));
  }
  if (error == ETIMEDOUT) {
    return OsRefused(
        error,
        absl::StrCat(what,
                     ": the kernel waits for somebody who uses the device"));
  }
  return OsRefused(error, what);
}

absl::Status ExplainVfs(int error, const DeviceFacts& pf, uint32_t count) {
  const std::string what =
      absl::StrCat(pf.bdf, ": ", count, " virtual functions");
  switch (error) {
    case ENOENT:
      return HostLacks(
          absl::StrCat(what, ": its driver ",
                       pf.driver.empty() ? "(none)" : pf.driver, " makes none",
                       vfio::IsVfioDriver(pf.driver)
                           ? "; allow it with 'echo 1 > "
                             "/sys/module/vfio_pci/parameters/enable_sriov'"
                           : "; bind one that does, or vfio-pci"));
    case ERANGE:
      return BadInput(absl::StrCat(what, ": it has at most ", pf.total_vfs));
    case ENOMEM:
      return OsRefused(error, absl::StrCat(what,
                                           ": there is no room for their "
                                           "BARs or bus numbers; try "
                                           "pci=realloc, or fewer"));
    default:
      return Failed(error, what);
  }
}

}  // namespace

int WriteFile(const std::string& path, const std::string& text,
              std::chrono::milliseconds deadline) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) WriteAndExit(path.c_str(), text.data(), text.size());
  const auto end = std::chrono::steady_clock::now() + deadline;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      ::kill(child, SIGKILL);
      return ETIMEDOUT;
    }
    std::this_thread::sleep_for(kLook);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

absl::Status BindDriver(const HostPaths& paths, const DeviceFacts& device,
                        const std::string& driver) {
  if (!driver.empty() && device.driver == driver) return absl::OkStatus();
  const std::string what =
      absl::StrCat(device.bdf, ": binding it to ",
                   driver.empty() ? "its own driver" : driver);
  // Its own driver would take them from whoever uses them; vfio-pci refuses.
  if (!device.vfs.empty()) {
    return BadInput(absl::StrCat(what,
                                 ": it has virtual functions; remove them "
                                 "first: kvmlet sriov destroy ",
                                 device.bdf));
  }
  // A line end alone clears the override.
  int error = WriteFile(device.path + "/driver_override",
                        driver.empty() ? "\n" : driver);
  if (error == 0 && !device.driver.empty()) {
    error = WriteFile(device.path + "/driver/unbind", device.bdf);
  }
  if (error == 0) {
    error = WriteFile(paths.sys + "/bus/pci/drivers_probe", device.bdf);
  }
  if (error != 0) return Failed(error, what);
  KVMLET_ASSIGN_OR_RETURN(const DeviceFacts now,
                          vfio::ReadFacts(paths, device.bdf));
  if (now.driver == driver || driver.empty()) return absl::OkStatus();
  return HostLacks(absl::StrCat(what,
                                ": the driver did not take it; run 'modprobe ",
                                driver, "' and look at the end of dmesg"));
}

std::vector<std::string> VfsInUse(const HostPaths& paths,
                                  const DeviceFacts& pf) {
  std::vector<std::string> used;
  for (const std::string& bdf : pf.vfs) {
    const auto vf = vfio::ReadFacts(paths, bdf);
    if (!vf.ok() || !vfio::IsVfioDriver(vf->driver) || !vf->group) continue;
    std::vector<std::string> holders =
        vfio::HoldersOf(paths, absl::StrCat(paths.dev, "/vfio/", *vf->group));
    if (holders.empty() && !vf->cdev.empty()) {
      holders = vfio::HoldersOf(
          paths, absl::StrCat(paths.dev, "/vfio/devices/", vf->cdev));
    }
    if (holders.empty()) continue;
    used.push_back(absl::StrCat(bdf, " (held by process ",
                                absl::StrJoin(holders, ", "), ")"));
  }
  return used;
}

absl::Status SetVfs(const HostPaths& paths, const DeviceFacts& pf,
                    uint32_t count) {
  if (!pf.is_pf()) {
    return BadInput(absl::StrCat(
        pf.bdf, ": it has no virtual functions (SR-IOV), or is one"));
  }
  if (pf.vfs.size() == count) return absl::OkStatus();
  const std::vector<std::string> used = VfsInUse(paths, pf);
  if (!used.empty()) {
    return OsRefused(
        EBUSY, absl::StrCat(pf.bdf,
                            ": its virtual functions are in use, and changing "
                            "their number removes them all: ",
                            absl::StrJoin(used, ", ")));
  }
  const std::string path = pf.path + "/sriov_numvfs";
  // The number changes through zero only.
  int error = pf.vfs.empty() ? 0 : WriteFile(path, "0");
  if (error == 0 && count > 0) error = WriteFile(path, absl::StrCat(count));
  return error == 0 ? absl::OkStatus() : ExplainVfs(error, pf, count);
}

}  // namespace kvmlet::sriov
