// The anytime curve of a search: what is known after how many function evaluations.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "align/search.h"

namespace linden {

struct CurvePoint {
  int64_t nfe = 0, network_calls = 0, reward_calls = 0;
  double seconds = 0;
  double root_value = 0;
  double best_reward = 0;
  double mean_reward = 0;       // expected reward of one reported sample
  double mean_leaf_reward = 0;  // plain mean over the leaves
  int64_t num_leaves = 0;
  double num_distinct = 0;          // expected distinct leaves among num_samples draws
  std::vector<int64_t> expansions;  // [D] by depth
};

// Costs O(nodes): taken on a geometric grid of NFE.
CurvePoint curve_point(const SearchState& state, const SearchPlan& plan, uint64_t seed, int64_t num_samples);

class AnytimeCurve {
 public:
  explicit AnytimeCurve(std::vector<int64_t> branch_levels) : branch_levels_(std::move(branch_levels)) {}
  // Is a point due at this NFE? The grid grows by 10 %.
  bool due(int64_t nfe) const { return nfe >= next_; }
  void add(CurvePoint point);
  const std::vector<CurvePoint>& points() const { return points_; }
  void write_csv(const std::filesystem::path& file) const;
  void write_svg(const std::filesystem::path& file) const;
  // Numbers as a table [P, 10 + D] fp64, for the tree's file; and back. InputError, which starts with `origin`: numbers
  // that no search can have.
  std::vector<double> flat() const;
  void restore(const std::vector<double>& flat, const std::string& origin);

 private:
  std::vector<int64_t> branch_levels_;
  std::vector<CurvePoint> points_;
  int64_t next_ = 1;
};

}  // namespace linden
