// layers.csv, bins.csv and messages.csv of a transfer's run folder: several rows a logged step, beside metrics.csv.
//
//   layers.csv    step,layer,r,grad_matching,grad_constraint,grad_regulariser   gradients of the loss parts by r, weights included
//   bins.csv      step,sigma_low,sigma_high,velocity_error,count
//   messages.csv  step,level,text
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "transfer/detectors.h"
#include "transfer/probes.h"

namespace linden {

struct LayerRow {
  int64_t step = 0, layer = 0;  // layers from 0
  double r = 1;
  double grad_matching = 0, grad_constraint = 0, grad_regulariser = 0;
  bool operator==(const LayerRow&) const = default;
};
struct BinRow {
  int64_t step = 0;
  double sigma_low = 0, sigma_high = 1, velocity_error = 0;  // NaN where nothing fell into the bin
  int64_t count = 0;
};
struct MessageRow {
  int64_t step = 0;
  std::string level, text;
  bool operator==(const MessageRow&) const = default;
};

// A CSV file whose first column is the step. Opening it drops a line that a kill cut in half.
class StepRows {
 public:
  // InputError: the file has another header.
  StepRows(std::filesystem::path file, std::string header);
  void append(const std::string& lines);  // whole lines; flushed
  void cut_after(int64_t step);           // drops rows of later steps

 private:
  void rewrite(int64_t last_step);
  std::filesystem::path file_;
  std::string header_;
  std::ofstream out_;
};

// The three files of a run. A resumed run calls cut_after(step of its checkpoint) as for metrics.csv.
class LayerLog {
 public:
  explicit LayerLog(const std::filesystem::path& run_folder);
  void layers(const std::vector<LayerRow>& rows);
  void bins(int64_t step, const SigmaBins& bins);
  void message(int64_t step, const std::string& level, const std::string& text);
  void message(int64_t step, const Finding& finding) { message(step, level_name(finding.level), finding.text); }
  void cut_after(int64_t step);

 private:
  StepRows layers_, bins_, messages_;
};

// A half line at the end is left out. InputError: no such file, another header, a line that is no row (with its number).
std::vector<LayerRow> read_layer_rows(const std::filesystem::path& file);
std::vector<BinRow> read_bin_rows(const std::filesystem::path& file);
std::vector<MessageRow> read_message_rows(const std::filesystem::path& file);

}  // namespace linden
