// Statistics of features in a file, in pytorch-fid's layout.
#pragma once

#include <filesystem>
#include <string>

#include "evaluate/moments.h"

namespace linden {

struct FeatureStatistics {
  Moments moments;
  std::string features;  // what they were computed on; "" where the file does not say
};

// npz with "mu" [F] and "sigma" [F, F] (mseitzer/pytorch-fid, fid_score.py). Our own files also hold "count" [1], the
// samples behind them, and "features", the name as bytes, which pytorch-fid passes over. A file without count reads as
// 2 samples. InputError: arrays missing, shapes that do not belong together, NaN.
FeatureStatistics read_statistics(const std::filesystem::path& file);
void write_statistics(const std::filesystem::path& file, const FeatureStatistics& statistics);
// An .npz that holds "mu" and "sigma".
bool holds_statistics(const std::filesystem::path& file);

}  // namespace linden
