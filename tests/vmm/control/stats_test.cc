// SPDX-License-Identifier: Apache-2.0
// Statistics over QMP and as Prometheus' text, of a machine that has made them
// up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/ctl_format.h"
#include "vmm/control/prometheus.h"
#include "vmm/control/qmp_commands.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

std::vector<StatsGroup> SomeStats() {
  return {
      {.target = StatsTarget::kVm,
       .provider = "kvm",
       .stats = {{{.name = "pages_2m", .type = StatType::kInstant}, {5}}}},
      {.target = StatsTarget::kVcpu,
       .vcpu = 0,
       .provider = "kvm",
       .stats = {{{.name = "exits"}, {18446744073709551615u}},
                 {{.name = "halt_wait_ns",
                   .unit = StatUnit::kSeconds,
                   .exponent = -9},
                  {1500}},
                 {{.name = "halt_wait_hist",
                   .type = StatType::kLogHistogram,
                   .unit = StatUnit::kSeconds,
                   .exponent = -9},
                  {1, 2, 4}},
                 {{.name = "sizes",
                   .type = StatType::kLinearHistogram,
                   .bucket_size = 100},
                  {1, 0, 2}},
                 {{.name = "blocking",
                   .type = StatType::kInstant,
                   .unit = StatUnit::kBoolean},
                  {1}}}},
      {.target = StatsTarget::kVcpu,
       .vcpu = 1,
       .provider = "kvm",
       .stats = {{{.name = "exits"}, {8}}}},
      {.target = StatsTarget::kVcpu,
       .vcpu = 0,
       .provider = kExitsProvider,
       .stats = {{{.name = "io"}, {3}}, {{.name = "mmio"}, {2}}}},
  };
}

class StatsTest : public ::testing::Test {
 protected:
  StatsTest() {
    machine_.stats = SomeStats();
    RegisterMachineCommands(registry_, machine_);
  }
  // The result as text, or "!error".
  std::string Run(const std::string& name, const std::string& arguments) {
    const auto result = registry_.Run(name, *ParseJson(arguments));
    if (!result.ok()) return "!" + std::string(result.status().message());
    return DumpJson(*result);
  }
  FakeMachine machine_;
  QmpRegistry registry_;
};

TEST_F(StatsTest, QueryStatsOfTheVm) {
  EXPECT_EQ(Run("query-stats", R"({"target":"vm"})"),
            R"([{"provider":"kvm","stats":[{"name":"pages_2m","value":5}]}])");
}

TEST_F(StatsTest, QueryStatsFilters) {
  EXPECT_EQ(
      Run("query-stats", R"({"target":"vcpu","vcpus":["/machine/cpu[1]"]})"),
      R"([{"provider":"kvm","qom-path":"/machine/cpu[1]",)"
      R"("stats":[{"name":"exits","value":8}]}])");
  EXPECT_EQ(Run("query-stats", R"({"target":"vcpu","providers":[)"
                               R"({"provider":"kvm","names":["blocking"]}]})"),
            R"([{"provider":"kvm","qom-path":"/machine/cpu[0]",)"
            R"("stats":[{"name":"blocking","value":true}]}])");
  EXPECT_EQ(
      Run("query-stats",
          R"({"target":"vcpu","providers":[{"provider":"__org.kvmlet_exits"}]})"),
      R"([{"provider":"__org.kvmlet_exits","qom-path":"/machine/cpu[0]",)"
      R"("stats":[{"name":"io","value":3},{"name":"mmio","value":2}]}])");
  EXPECT_EQ(Run("query-stats", R"({"target":"vm","providers":[]})"), "[]");
}

TEST_F(StatsTest, QueryStatsRefusesWhatItDoesNotKnow) {
  EXPECT_EQ(Run("query-stats", "{}"), "!Parameter 'target' is missing");
  EXPECT_EQ(Run("query-stats", R"({"target":"cryptodev"})"),
            "!Parameter 'target' does not accept value 'cryptodev'");
  EXPECT_EQ(Run("query-stats", R"({"target":"vcpu","vcpus":[1]})"),
            "!Invalid parameter type for 'vcpus', expected: string");
  EXPECT_EQ(Run("query-stats", R"({"target":"vm","providers":["kvm"]})"),
            "!Invalid parameter type for 'provider', expected: string");
  EXPECT_EQ(
      Run("query-stats",
          R"({"target":"vm","providers":[{"provider":"kvm","names":3}]})"),
      "!Invalid parameter type for 'names', expected: array");
  machine_.error = absl::UnavailableError("no statistics");
  EXPECT_EQ(Run("query-stats", R"({"target":"vm"})"), "!no statistics");
}

TEST_F(StatsTest, SchemasNameEachProviderOncePerTarget) {
  EXPECT_EQ(Run("query-stats-schemas", R"({"provider":"__org.kvmlet_exits"})"),
            R"([{"provider":"__org.kvmlet_exits","stats":[)"
            R"({"exponent":0,"name":"io","type":"cumulative"},)"
            R"({"exponent":0,"name":"mmio","type":"cumulative"}],)"
            R"("target":"vcpu"}])");
  const auto all = registry_.Run("query-stats-schemas", Json::object());
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ(DumpJson((*all)[1]["stats"][1]),
            R"({"base":10,"exponent":-9,"name":"halt_wait_ns",)"
            R"("type":"cumulative","unit":"seconds"})");
  EXPECT_EQ((*all)[1]["stats"][2]["type"], "log2-histogram");
  EXPECT_EQ((*all)[1]["stats"][3]["bucket-size"], 100);
}

TEST_F(StatsTest, PrometheusFamiliesStandTogether) {
  EXPECT_EQ(PrometheusText("vm1", SomeStats()),
            R"(# TYPE kvmlet_kvm_vcpu_blocking gauge
kvmlet_kvm_vcpu_blocking{vm="vm1",vcpu="0"} 1
# TYPE kvmlet_kvm_vcpu_exits_total counter
kvmlet_kvm_vcpu_exits_total{vm="vm1",vcpu="0"} 18446744073709551615
kvmlet_kvm_vcpu_exits_total{vm="vm1",vcpu="1"} 8
# TYPE kvmlet_kvm_vcpu_halt_wait_hist_seconds histogram
kvmlet_kvm_vcpu_halt_wait_hist_seconds_bucket{vm="vm1",vcpu="0",le="0"} 1
kvmlet_kvm_vcpu_halt_wait_hist_seconds_bucket{vm="vm1",vcpu="0",le="1e-09"} 3
kvmlet_kvm_vcpu_halt_wait_hist_seconds_bucket{vm="vm1",vcpu="0",le="+Inf"} 7
kvmlet_kvm_vcpu_halt_wait_hist_seconds_count{vm="vm1",vcpu="0"} 7
# TYPE kvmlet_kvm_vcpu_halt_wait_seconds_total counter
kvmlet_kvm_vcpu_halt_wait_seconds_total{vm="vm1",vcpu="0"} 1.5e-06
# TYPE kvmlet_kvm_vcpu_sizes histogram
kvmlet_kvm_vcpu_sizes_bucket{vm="vm1",vcpu="0",le="99"} 1
kvmlet_kvm_vcpu_sizes_bucket{vm="vm1",vcpu="0",le="199"} 1
kvmlet_kvm_vcpu_sizes_bucket{vm="vm1",vcpu="0",le="+Inf"} 3
kvmlet_kvm_vcpu_sizes_count{vm="vm1",vcpu="0"} 3
# TYPE kvmlet_kvm_vm_pages_2m gauge
kvmlet_kvm_vm_pages_2m{vm="vm1"} 5
# TYPE kvmlet_vcpu_userspace_exits_total counter
kvmlet_vcpu_userspace_exits_total{vm="vm1",vcpu="0",reason="io"} 3
kvmlet_vcpu_userspace_exits_total{vm="vm1",vcpu="0",reason="mmio"} 2
)");
}

TEST_F(StatsTest, ExitsOfATrace) {
  const std::vector<StatsGroup> traced = {
      {.target = StatsTarget::kVcpu,
       .vcpu = 1,
       .provider = kExitsProvider,
       .stats = {{{.name = "io"}, {3}}}},
      {.target = StatsTarget::kVcpu,
       .vcpu = 1,
       .provider = kExitMonitorProvider,
       .stats = {{{.name = "io", .unit = StatUnit::kSeconds, .exponent = -9},
                  {1500}}}},
      {.target = StatsTarget::kVcpu,
       .vcpu = 1,
       .provider = kExitGuestProvider,
       .stats = {{{.name = "io", .unit = StatUnit::kSeconds, .exponent = -9},
                  {2'000'000}}}}};
  EXPECT_EQ(PrometheusText("", traced),
            R"(# TYPE kvmlet_vcpu_guest_seconds_total counter
kvmlet_vcpu_guest_seconds_total{vcpu="1",reason="io"} 0.002
# TYPE kvmlet_vcpu_userspace_exit_seconds_total counter
kvmlet_vcpu_userspace_exit_seconds_total{vcpu="1",reason="io"} 1.5e-06
# TYPE kvmlet_vcpu_userspace_exits_total counter
kvmlet_vcpu_userspace_exits_total{vcpu="1",reason="io"} 3
)");
  machine_.stats = traced;
  const auto result = registry_.Run(
      "query-stats",
      *ParseJson(R"({"target":"vcpu","providers":[)"
                 R"({"provider":"__org.kvmlet_exits"},)"
                 R"({"provider":"__org.kvmlet_exit-monitor-time"},)"
                 R"({"provider":"__org.kvmlet_exit-guest-time"}]})"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(FormatResult("query-stats", *result),
            "CPU  REASON  EXITS  MONITOR  MEAN   GUEST\n"
            "1    io      3      1.50us   500ns  2.00ms\n");
}

TEST_F(StatsTest, WhatOnlyLooksLikeExitsIsATable) {
  for (const char* text :
       {R"([{"provider":"__org.kvmlet_exits"}])",
        R"([{"provider":"__org.kvmlet_exits","stats":3}])",
        R"([{"provider":"__org.kvmlet_exits","stats":[],"qom-path":"x"}])"}) {
    EXPECT_THAT(FormatResult("query-stats", *ParseJson(text)),
                testing::StartsWith("TARGET"))
        << text;
  }
  EXPECT_EQ(FormatResult("query-stats",
                         *ParseJson(R"([{"provider":"__org.kvmlet_exits",)"
                                    R"("qom-path":"/machine/cpu[7]",)"
                                    R"("stats":[1,{"value":-1},)"
                                    R"({"name":"a\u001bb","value":2}]}])")),
            "CPU  REASON  EXITS\n7    a?b     2\n");
}

TEST_F(StatsTest, PrometheusNamesAndLabelsAreSafe) {
  const std::vector<StatsGroup> odd = {
      {.provider = "kvm",
       .stats = {{{.name = "a-b", .type = StatType::kInstant}, {1}}}}};
  EXPECT_EQ(PrometheusText("", odd),
            "# TYPE kvmlet_kvm_vm_a_b gauge\nkvmlet_kvm_vm_a_b 1\n");
  EXPECT_THAT(PrometheusText("a\"b\\\n", odd), HasSubstr(R"({vm="a\"b\\\n"})"));
}

TEST_F(StatsTest, ForPeopleItIsATable) {
  const auto result =
      registry_.Run("query-stats", *ParseJson(R"({"target":"vm"})"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(FormatResult("query-stats", *result),
            "TARGET  PROVIDER  NAME      VALUE\n"
            "vm      kvm       pages_2m  5\n");
  EXPECT_EQ(FormatResult("query-stats", *ParseJson(R"([3,{"stats":[1]}])")),
            "TARGET  PROVIDER  NAME  VALUE\n"
            "vm      -         -     -\n");
}

}  // namespace
}  // namespace kvmlet
