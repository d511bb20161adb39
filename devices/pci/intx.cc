// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/intx.h"

namespace kvmlet::pci {

class SharedLine::Pin : public IrqLine {
 public:
  explicit Pin(SharedLine& shared) : shared_(shared) {}
  ~Pin() override { Pin::Set(false); }

  void Set(bool asserted) override {
    const std::lock_guard lock(shared_.mutex_);
    if (asserted == asserted_) return;
    asserted_ = asserted;
    shared_.Count(asserted);
  }

 private:
  SharedLine& shared_;
  bool asserted_ = false;  // guarded by shared_.mutex_
};

std::unique_ptr<IrqLine> SharedLine::AddPin() {
  return std::make_unique<Pin>(*this);
}

void SharedLine::Count(bool asserted) {
  if (asserted && asserted_++ == 0) line_->Set(true);
  if (!asserted && --asserted_ == 0) line_->Set(false);
}

void IntxPin::Set(bool asserted) {
  const std::lock_guard lock(mutex_);
  asserted_ = asserted;
  Drive();
}

void IntxPin::SetAllowed(bool allowed) {
  const std::lock_guard lock(mutex_);
  allowed_ = allowed;
  Drive();
}

bool IntxPin::asserted() const {
  const std::lock_guard lock(mutex_);
  return asserted_;
}

void IntxPin::Drive() {
  if (line_ != nullptr) line_->Set(asserted_ && allowed_);
}

}  // namespace kvmlet::pci
