// Figures of one transfer from the rows that its run folder holds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "experiment/csv_columns.h"
#include "io/svg.h"
#include "transfer/layer_log.h"

namespace linden {

// Where the commit is marked; nothing: no mark.
using CommitStep = std::optional<int64_t>;

// r of each layer over training, coloured by depth (Fig. 3 of the paper).
CurveFigure scores_figure(const std::vector<LayerRow>& rows, int64_t num_layers, CommitStep commit);
// |gradient| of the matching loss by each r, beside what the count's constraint and the regulariser push with.
CurveFigure gate_gradient_figure(const std::vector<LayerRow>& rows, int64_t num_layers, CommitStep commit);
// The layers' kinds; `linear` rising.
CellFigure layer_map_figure(const std::vector<int64_t>& linear, int64_t num_layers, const std::string& label);
// Velocity error over training and sigma. Long runs: neighbouring rows are averaged.
HeatMapFigure gap_map_figure(const std::vector<BinRow>& rows, CommitStep commit);
// Velocity error against sigma at the first row, the last one before the commit, the first one after it, and the end.
CurveFigure gap_by_time_figure(const std::vector<BinRow>& rows, CommitStep commit);
// Columns of metrics.csv against its steps, as far as they are there and hold a number; logarithmic if
// none is below 0 and they lie wide apart (zeros then are not drawn).
CurveFigure metrics_figure(const CsvColumns& metrics, const std::vector<std::string>& names, const std::string& title, CommitStep commit);

}  // namespace linden
