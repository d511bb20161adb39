// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qom.h"

#include <gtest/gtest.h>

#include <string>

namespace kvmlet {
namespace {

class QomTest : public ::testing::Test {
 protected:
  QomTest() {
    objects_.Add("vm0", "virtio-mem-pci", "requested-size",
                 {.type = "size",
                  .wants = QmpType::kUnsigned,
                  .get = [this] { return Json(size_); },
                  .set =
                      [this](const Json& value) {
                        if (value.get<uint64_t>() > 100) {
                          return absl::OutOfRangeError("above the maximum");
                        }
                        size_ = value.get<uint64_t>();
                        return absl::OkStatus();
                      }});
    objects_.Add(
        "vm0", "virtio-mem-pci", "size",
        {.type = "size", .get = [] { return Json(7); }, .set = nullptr});
    RegisterQomCommands(registry_, objects_);
  }
  // The result as text, or "!error".
  std::string Run(const std::string& name, Json arguments) {
    const auto result = registry_.Run(name, arguments);
    if (!result.ok()) return "!" + std::string(result.status().message());
    return DumpJson(*result);
  }
  std::string Set(const Json& value) {
    return Run(
        "qom-set",
        {{"path", "vm0"}, {"property", "requested-size"}, {"value", value}});
  }

  uint64_t size_ = 5;
  QomObjects objects_;
  QmpRegistry registry_;
};

TEST_F(QomTest, APropertyIsFoundByIdAndByPath) {
  const Json property = "requested-size";
  EXPECT_EQ(Run("qom-get", {{"path", "vm0"}, {"property", property}}), "5");
  EXPECT_EQ(Run("qom-get",
                {{"path", "/machine/peripheral/vm0"}, {"property", property}}),
            "5");
  EXPECT_EQ(Run("qom-list", {{"path", "vm0"}}),
            R"([{"name":"requested-size","type":"size"},)"
            R"({"name":"size","type":"size"}])");
}

TEST_F(QomTest, ASetterSeesTheValue) {
  EXPECT_EQ(Set(uint64_t{42}), "{}");
  EXPECT_EQ(size_, 42u);
  EXPECT_EQ(Set(uint64_t{101}), "!above the maximum");
  EXPECT_EQ(size_, 42u);
}

TEST_F(QomTest, WhatIsNotThereIsRefused) {
  EXPECT_EQ(Run("qom-get", {{"path", "/machine/vm0"}, {"property", "size"}}),
            "!Device '/machine/vm0' not found");
  EXPECT_EQ(Run("qom-get", {{"path", "vm0"}, {"property", "no"}}),
            "!Property 'virtio-mem-pci.no' not found");
  EXPECT_EQ(Run("qom-list", {{"path", ""}}), "!Device '' not found");
  const auto result = registry_.Run("qom-list", {{"path", "vm1"}});
  EXPECT_TRUE(absl::IsNotFound(result.status()));
}

TEST_F(QomTest, WrongTypesAndReadOnlyPropertiesAreRefused) {
  EXPECT_EQ(Set("big"),
            "!Invalid parameter type for 'requested-size', expected: uint64");
  EXPECT_EQ(Set(-1),
            "!Invalid parameter type for 'requested-size', expected: uint64");
  EXPECT_EQ(
      Run("qom-set", {{"path", "vm0"}, {"property", "size"}, {"value", 1}}),
      "!Property 'size' is not writable");
  EXPECT_EQ(size_, 5u);
}

}  // namespace
}  // namespace kvmlet
