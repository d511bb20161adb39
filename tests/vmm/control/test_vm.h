// SPDX-License-Identifier: Apache-2.0
// A QMP server for a fake machine on its own loop thread, in a folder of its
// own, and a raw client of it that sends any bytes and reads lines.
#ifndef KVMLET_TESTS_VMM_CONTROL_TEST_VM_H_
#define KVMLET_TESTS_VMM_CONTROL_TEST_VM_H_

#include <memory>
#include <string>
#include <string_view>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/base/unique_fd.h"
#include "vmm/control/events.h"
#include "vmm/control/json.h"
#include "vmm/control/qmp_registry.h"
#include "vmm/control/qmp_server.h"
#include "vmm/event/io_thread.h"

namespace kvmlet {

// A fresh folder below the system's temporary one, removed with its content.
class TempFolder {
 public:
  TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder();
  std::string File(std::string_view name) const;

 private:
  std::string path_;
};

class TestVm {
 public:
  TestVm();
  ~TestVm();

  const std::string& path() const { return path_; }
  // Runs on the loop's thread and waits.
  void OnLoop(const std::function<void()>& function) {
    thread_->loop().RunSync(function);
  }
  // Ends the server; its clients see the end of the stream.
  void StopServer();

  Events events;
  FakeMachine machine{&events};
  QmpRegistry registry;
  std::unique_ptr<QmpServer> server;

 private:
  TempFolder folder_;
  std::string path_;
  std::unique_ptr<IoThread> thread_;
};

class RawClient {
 public:
  explicit RawClient(const std::string& path);

  void Send(std::string_view bytes);
  // The next line without its end; empty at the end of the stream, or after
  // ten seconds.
  std::string Line();
  Json Message();  // the next line as JSON; null when there is none
  // Reads the greeting and negotiates.
  void Negotiate();
  // Sends a command and returns the message that answers it.
  Json Run(const std::string& request);
  void EndOutput();
  void Close() { fd_.Reset(); }
  bool AtEnd() { return Line().empty(); }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::string buffer_;
};

// "GenericError: text" of a reply, or "" when it has no error.
std::string ErrorOf(const Json& reply);

}  // namespace kvmlet

#endif  // KVMLET_TESTS_VMM_CONTROL_TEST_VM_H_
