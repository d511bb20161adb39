// SPDX-License-Identifier: Apache-2.0
#include "tests/kvm/kvmlet_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace kvmlet {
namespace {

using Clock = std::chrono::steady_clock;

// Appends what is there; true while more may come.
bool ReadInto(const UniqueFd& fd, std::string& text) {
  std::array<char, 4096> chunk;
  while (true) {
    const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n <= 0) return n < 0;
    text.append(chunk.data(), static_cast<size_t>(n));
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

KvmletProcess::KvmletProcess(const Args& args,
                             const std::function<bool()>& before) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  EXPECT_EQ(::pipe2(in.data(), O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(err.data(), O_CLOEXEC), 0);
  std::vector<char*> argv;
  std::string program = KVMLET_BINARY;
  argv.push_back(program.data());
  for (const std::string& arg : args) {
    argv.push_back(const_cast<char*>(arg.c_str()));
  }
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    if (before != nullptr && !before()) ::_exit(250);
    ::execv(program.c_str(), argv.data());
    ::_exit(251);
  }
  input_.Reset(in[1]);
  output_.Reset(out[0]);
  error_.Reset(err[0]);
  for (const int fd : {in[0], out[1], err[1]}) ::close(fd);
  for (const int fd : {output_.get(), error_.get()}) {
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
}

KvmletProcess::~KvmletProcess() {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

bool KvmletProcess::running() {
  if (ended_) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return true;
  ended_ = true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

void KvmletProcess::Read() {
  if (read_output_) ReadInto(output_, out_);
  ReadInto(error_, err_);
}

bool KvmletProcess::WaitUntil(const std::function<bool()>& done,
                              milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (true) {
    Read();
    if (done()) return true;
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
}

int KvmletProcess::Wait(milliseconds limit) {
  const bool ended = WaitUntil([this] { return !running(); }, limit);
  if (!ended) {
    ADD_FAILURE() << "kvmlet did not end in time; it said:\n" << err_;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ended_ = true;
    status_ = kHung;
  }
  Read();
  return status_;
}

bool KvmletProcess::WaitForOutput(std::string_view text) {
  return WaitUntil([&] { return out_.find(text) != out_.npos; });
}

bool KvmletProcess::WaitForError(std::string_view text) {
  return WaitUntil([&] { return err_.find(text) != err_.npos; });
}

void KvmletProcess::Type(std::string_view text) {
  EXPECT_EQ(::write(input_.get(), text.data(), text.size()),
            static_cast<ssize_t>(text.size()));
}

void KvmletProcess::Signal(int number) const { ::kill(pid_, number); }

KvmletTest::KvmletTest() {
  std::string name = testing::TempDir() + "/kvmletXXXXXX";
  folder_ = ::mkdtemp(name.data());
}

KvmletTest::~KvmletTest() { std::filesystem::remove_all(folder_); }

std::string KvmletTest::Path(std::string_view name) const {
  return folder_ + "/" + std::string(name);
}

std::string KvmletTest::Payload(std::string_view name) {
  return std::string(KVMLET_PAYLOADS) + "/" + std::string(name) +
         KVMLET_PAYLOAD_SUFFIX;
}

std::string KvmletTest::File(std::string_view name,
                             std::string_view content) const {
  std::ofstream(Path(name), std::ios::binary) << content;
  return Path(name);
}

std::vector<std::string> KvmletTest::Files() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

KvmletProcess::Args KvmletTest::RunArgs(const KvmletProcess::Args& args) const {
  KvmletProcess::Args all = {"run", "--verdict", Path("verdict.json")};
  all.insert(all.end(), args.begin(), args.end());
  return all;
}

std::unique_ptr<KvmletProcess> KvmletTest::Start(
    const KvmletProcess::Args& args) const {
  return std::make_unique<KvmletProcess>(RunArgs(args));
}

KvmletTest::Outcome KvmletTest::Run(const KvmletProcess::Args& args,
                                    milliseconds limit) {
  const auto process = Start(args);
  const int status = process->Wait(limit);
  return {.status = status,
          .out = process->out(),
          .err = process->err(),
          .verdict = Verdict()};
}

Json KvmletTest::Verdict() const {
  return ParseJson(ReadFile(Path("verdict.json"))).value_or(Json());
}

std::vector<Json> KvmletTest::Events() const {
  std::ifstream in(Path("events"));
  std::vector<Json> events;
  for (std::string line; std::getline(in, line);) {
    events.push_back(ParseJson(line).value_or(Json()));
  }
  return events;
}

int KvmletTest::CountEvents(std::string_view name) const {
  return static_cast<int>(std::ranges::count_if(
      Events(),
      [name](const Json& e) { return StringMember(e, "event") == name; }));
}

void ExpectOneLine(const std::string& text, std::string_view part) {
  EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
  EXPECT_TRUE(text.ends_with('\n')) << text;
  EXPECT_NE(text.find(part), text.npos) << text;
}

}  // namespace kvmlet
