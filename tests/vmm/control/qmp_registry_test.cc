// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace kvmlet {
namespace {

using ::testing::ElementsAre;

class QmpRegistryTest : public ::testing::Test {
 protected:
  // Registers "c" with one argument "x" of that type and runs it.
  std::string Error(QmpType type, const std::string& arguments,
                    bool optional = false) {
    QmpRegistry registry;
    registry.Register("c", {{.name = "x", .type = type, .optional = optional}},
                      [](const QmpArguments&) { return Json::object(); });
    const auto json = ParseJson(arguments);
    EXPECT_TRUE(json);
    return std::string(registry.Run("c", *json).status().message());
  }
};

TEST_F(QmpRegistryTest, NamesMissingParameter) {
  EXPECT_EQ(Error(QmpType::kString, "{}"), "Parameter 'x' is missing");
}

TEST_F(QmpRegistryTest, NamesUnexpectedParameter) {
  EXPECT_EQ(Error(QmpType::kString, R"({"x":"a","y":1})"),
            "Parameter 'y' is unexpected");
}

TEST_F(QmpRegistryTest, OptionalParameterMayBeAbsent) {
  EXPECT_EQ(Error(QmpType::kString, "{}", /*optional=*/true), "");
}

TEST_F(QmpRegistryTest, OptionalParameterIsStillChecked) {
  EXPECT_EQ(Error(QmpType::kString, R"({"x":1})", /*optional=*/true),
            "Invalid parameter type for 'x', expected: string");
}

TEST_F(QmpRegistryTest, NullIsNotAbsent) {
  EXPECT_EQ(Error(QmpType::kString, R"({"x":null})", /*optional=*/true),
            "Invalid parameter type for 'x', expected: string");
}

TEST_F(QmpRegistryTest, ChecksEveryType) {
  const std::string prefix = "Invalid parameter type for 'x', expected: ";
  EXPECT_EQ(Error(QmpType::kInteger, R"({"x":1.0})"), prefix + "integer");
  EXPECT_EQ(Error(QmpType::kInteger, R"({"x":18446744073709551615})"),
            prefix + "integer");
  EXPECT_EQ(Error(QmpType::kUnsigned, R"({"x":-1})"), prefix + "uint64");
  EXPECT_EQ(Error(QmpType::kBoolean, R"({"x":1})"), prefix + "boolean");
  EXPECT_EQ(Error(QmpType::kNumber, R"({"x":"1"})"), prefix + "number");
  EXPECT_EQ(Error(QmpType::kObject, R"({"x":[]})"), prefix + "object");
  EXPECT_EQ(Error(QmpType::kArray, R"({"x":{}})"), prefix + "array");
}

TEST_F(QmpRegistryTest, AcceptsEveryType) {
  EXPECT_EQ(Error(QmpType::kInteger, R"({"x":-9223372036854775808})"), "");
  EXPECT_EQ(Error(QmpType::kUnsigned, R"({"x":18446744073709551615})"), "");
  EXPECT_EQ(Error(QmpType::kBoolean, R"({"x":false})"), "");
  EXPECT_EQ(Error(QmpType::kNumber, R"({"x":1.5})"), "");
  EXPECT_EQ(Error(QmpType::kObject, R"({"x":{"a":1}})"), "");
  EXPECT_EQ(Error(QmpType::kArray, R"({"x":[1]})"), "");
  EXPECT_EQ(Error(QmpType::kAny, R"({"x":null})"), "");
}

TEST_F(QmpRegistryTest, HandsArgumentsToTheHandler) {
  QmpRegistry registry;
  registry.Register("c",
                    {{.name = "s", .type = QmpType::kString},
                     {.name = "i", .type = QmpType::kInteger},
                     {.name = "u", .type = QmpType::kUnsigned},
                     {.name = "b", .type = QmpType::kBoolean},
                     {.name = "o", .optional = true}},
                    [](const QmpArguments& arguments) -> absl::StatusOr<Json> {
                      EXPECT_EQ(arguments.String("s"), "text");
                      EXPECT_EQ(arguments.Integer("i"), -3);
                      EXPECT_EQ(arguments.Unsigned("u"), 7u);
                      EXPECT_TRUE(arguments.Boolean("b"));
                      EXPECT_FALSE(arguments.MaybeString("o"));
                      EXPECT_EQ(arguments.MaybeInteger("i"), -3);
                      return Json{{"seen", true}};
                    });
  const auto result =
      registry.Run("c", Json{{"s", "text"}, {"i", -3}, {"u", 7u}, {"b", true}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(DumpJson(*result), R"({"seen":true})");
}

TEST_F(QmpRegistryTest, NamesAreSorted) {
  QmpRegistry registry;
  const auto nothing = [](const QmpArguments&) { return Json::object(); };
  registry.Register("b", nothing);
  registry.Register("a", nothing);
  EXPECT_THAT(registry.Names(), ElementsAre("a", "b"));
  EXPECT_TRUE(registry.Has("a"));
  EXPECT_FALSE(registry.Has("c"));
}

TEST(QmpRegistryDeathTest, RegisteringTwiceIsOurBug) {
  QmpRegistry registry;
  const auto nothing = [](const QmpArguments&) { return Json::object(); };
  registry.Register("a", nothing);
  EXPECT_DEATH(registry.Register("a", nothing), "registered twice");
}

}  // namespace
}  // namespace kvmlet
