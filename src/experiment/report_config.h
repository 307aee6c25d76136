// Config of `linden report`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "experiment/table.h"

namespace linden {

struct ReportConfig {
  std::vector<std::string> runs;  // folders that hold run folders
  std::string output;             // empty: "report" inside the first of them
  std::string title = "linden report";
  std::string command;                                  // empty: a section for each command that was run
  std::vector<std::string> task = {"reward", "prior"};  // runs that agree in these keys (and keys below) share a section
  std::vector<std::string> rows;
  std::vector<std::string> columns;
  std::vector<std::string> over = {"seed"};
  std::string axis = "nfe";
  std::vector<std::string> curves = {"mean_reward", "best_reward", "root_value"};
  double tolerance = 0.05;
  std::vector<std::string> higher_is_better, lower_is_better;
  std::vector<std::string> labels;
  std::string references;  // JSON file of published numbers; see references.h
  int64_t pictures = 36;   // samples shown of each row; 0: none
};
void visit_fields(FieldVisitor& v, ReportConfig& c);

TableRequest table_request(const ReportConfig& config);

}  // namespace linden
