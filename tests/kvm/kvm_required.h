// SPDX-License-Identifier: Apache-2.0
// Why the KVM tier cannot run here, in one line; empty when it can. Opens
// /dev/kvm and runs a few guest instructions, for at most a moment.
#ifndef KVMLET_TESTS_KVM_KVM_REQUIRED_H_
#define KVMLET_TESTS_KVM_KVM_REQUIRED_H_

#include <gtest/gtest.h>

#include <string>

namespace kvmlet {

std::string WhyNoKvm();

// A fixture whose tests are skipped without KVM.
class KvmRequired : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = WhyNoKvm();
    if (!why.empty()) GTEST_SKIP() << why;
  }
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_KVM_REQUIRED_H_
