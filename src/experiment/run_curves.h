// Curves over many runs: mean and band over the runs of a group, against NFE or wall time.
#pragma once

#include <string>
#include <vector>

#include "experiment/run_record.h"
#include "experiment/table.h"
#include "io/svg.h"

namespace linden {

// One quantity of one run: the column `quantity` of curve.csv (metrics.csv where there is none) against
// `axis` (nfe, wall_seconds, step, or another column). Points that are not finite are left out; empty if
// the file or a column is missing. InputError if the file is damaged.
Curve run_curve(const RunRecord& run, const std::string& quantity, const std::string& axis);

// Names of the columns of a run's curve.csv and metrics.csv; a damaged file has none.
std::vector<std::string> curve_columns(const RunRecord& run);

// Mean and mean -+ deviation of several curves. Between its points a curve keeps its last value (an anytime
// quantity does not change before the next evaluation); the mean covers what all curves cover.
Curve mean_curve(const std::vector<Curve>& curves, const std::string& label);

// `quantity` against `axis`, one curve a row. Rows without the quantity keep an empty curve, so that colours agree
// between figures over the same rows.
CurveFigure row_curves(const std::vector<const TableRow*>& rows, const std::string& quantity, const std::string& axis, const std::string& label);

// The metric of column `column` against another number of the runs ("nfe", "wall_seconds"): one curve for each set of
// keys without `key`, its points the rows that differ in `key`; bands are the deviation over runs. No curves
// unless some set has two points.
CurveFigure metric_against(const Table& table, size_t column, const std::string& key, const std::string& axis);

}  // namespace linden
