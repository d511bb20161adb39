// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/prompt.h"

#include <cstdio>

#include "absl/strings/str_split.h"
#include "vmm/control/ctl_command.h"
#include "vmm/control/ctl_format.h"

namespace kvmlet {
namespace {

constexpr char kSign[] = "(kvmlet) ";
constexpr size_t kLineLimit = 1024;

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

void Prompt::Toggle() {
  open_ = !open_;
  line_.clear();
  Print(open_ ? absl::StrCat("\n", kSign) : "\n");
}

void Prompt::OnInput(std::span<const std::byte> input) {
  for (const std::byte b : input) OnByte(std::to_integer<char>(b));
}

void Prompt::OnByte(char c) {
  if (c == '\r' || c == '\n') {
    Print("\n");
    OnLine();
    line_.clear();
    // The command may have ended the guest, or the prompt.
    if (open_) Print(kSign);
  } else if (c == 0x7f || c == '\b') {
    if (line_.empty()) return;
    line_.pop_back();
    Print("\b \b");
  } else if (c >= ' ' && line_.size() < kLineLimit) {
    line_.push_back(c);
    Print(std::string(1, c));
  }
}

void Prompt::OnLine() {
  const std::vector<std::string> words =
      absl::StrSplit(line_, ' ', absl::SkipEmpty());
  if (words.empty()) return;
  if (words[0] == "help") {
    Print(
        "status, stop, cont, powerdown, reset, quit, info TOPIC, or the name "
        "of a QMP command with key=value arguments; Ctrl-A c goes back\n");
    return;
  }
  const absl::StatusOr<CtlCommand> command = ParseCtlCommand(words);
  if (!command.ok() || !command->request.is_object()) {
    Print(absl::StrCat(
        command.ok() ? "not available here" : command.status().message(),
        "\n"));
    return;
  }
  const std::string name = StringMember(command->request, "execute");
  if (!registry_.Has(name)) {
    Print(absl::StrCat("there is no command '", name, "'; try help\n"));
    return;
  }
  const Json* arguments = Member(command->request, "arguments");
  const absl::StatusOr<Json> result =
      registry_.Run(name, arguments != nullptr ? *arguments : Json::object());
  Print(result.ok() ? FormatResult(name, *result)
                    : absl::StrCat(result.status().message(), "\n"));
}

}  // namespace kvmlet
