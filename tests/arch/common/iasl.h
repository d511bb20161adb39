// SPDX-License-Identifier: Apache-2.0
// Sends ACPI tables through iasl, the reference compiler: disassembled,
// compiled again without an error, warning or remark, and, for the tables that
// are plain data, equal to the table it came from. A fixture for tests of one
// thread; the test is skipped where iasl is not installed.
#ifndef KVMLET_TESTS_ARCH_COMMON_IASL_H_
#define KVMLET_TESTS_ARCH_COMMON_IASL_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "arch/common/bytes.h"

namespace kvmlet::arch {

class IaslFixture : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // All of ReadAcpi()'s tables.
  void ExpectNoRemark(const std::map<std::string, Bytes>& tables);

 private:
  Bytes RoundTrip(const std::string& name, const Bytes& table);

  std::filesystem::path folder_;
};

}  // namespace kvmlet::arch

#endif  // KVMLET_TESTS_ARCH_COMMON_IASL_H_
