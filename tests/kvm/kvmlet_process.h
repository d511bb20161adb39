// SPDX-License-Identifier: Apache-2.0
// The monitor's own program as a child process, and the fixture of the tests
// that run it: a folder of their own, a watchdog, its exit status, what it
// printed, and the verdict it wrote. Single-threaded.
#ifndef KVMLET_TESTS_KVM_KVMLET_PROCESS_H_
#define KVMLET_TESTS_KVM_KVMLET_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/kvm/kvm_required.h"
#include "vmm/base/unique_fd.h"
#include "vmm/control/json.h"

namespace kvmlet {

using std::chrono::milliseconds;
using std::chrono::seconds;

class KvmletProcess {
 public:
  using Args = std::vector<std::string>;
  // What Wait returns when the watchdog had to kill it.
  static constexpr int kHung = -1;

  // Starts "kvmlet ARGS"; `before` runs in the child first and may say no.
  explicit KvmletProcess(const Args& args,
                         const std::function<bool()>& before = nullptr);
  ~KvmletProcess();
  KvmletProcess(const KvmletProcess&) = delete;
  KvmletProcess& operator=(const KvmletProcess&) = delete;

  // Its exit status, or 128 and its signal. Output is read meanwhile, unless
  // ReadOutput(false).
  int Wait(milliseconds limit = seconds(60));
  bool running();
  // Reads until `done` or the limit.
  bool WaitUntil(const std::function<bool()>& done,
                 milliseconds limit = seconds(60));
  bool WaitForOutput(std::string_view text);
  bool WaitForError(std::string_view text);
  void Type(std::string_view text);
  void CloseInput() { input_.Reset(); }
  void Signal(int number) const;
  pid_t pid() const { return pid_; }
  void ReadOutput(bool on) { read_output_ = on; }

  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  void Read();

  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  bool read_output_ = true;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd error_;
  std::string out_;
  std::string err_;
};

class KvmletTest : public KvmRequired {
 protected:
  KvmletTest();
  ~KvmletTest() override;

  struct Outcome {
    int status = 0;
    std::string out;
    std::string err;
    Json verdict;  // null when there is none
  };
  // "kvmlet run --verdict FILE ARGS".
  KvmletProcess::Args RunArgs(const KvmletProcess::Args& args) const;
  Outcome Run(const KvmletProcess::Args& args,
              milliseconds limit = seconds(60));
  std::unique_ptr<KvmletProcess> Start(const KvmletProcess::Args& args) const;
  Json Verdict() const;
  // The lines of the --events file.
  std::vector<Json> Events() const;
  int CountEvents(std::string_view name) const;

  static std::string Payload(std::string_view name);
  // Writes a file into the test's folder; its path.
  std::string File(std::string_view name, std::string_view content) const;
  // GuestCode, as a kernel.
  template <typename Code>
  std::string Kernel(const Code& code) const {
    return File("kernel", code.Kernel());
  }
  std::string Path(std::string_view name) const;
  // What is in the test's folder.
  std::vector<std::string> Files() const;

 private:
  std::string folder_;
};

// Fails unless the text is one line that ends and holds `part`.
void ExpectOneLine(const std::string& text, std::string_view part);

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_KVMLET_PROCESS_H_
