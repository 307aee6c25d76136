// What a transfer is watched by: whether the student's clips still look like clips, and at which times its velocity is
// off. Functions of tensors on any device, in fp32; nothing here waits for the device except BinnedMean::fetch and state.
//
// B batch · C channels · F frames · Y, X rows and columns · K bins of sigma.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/config.h"

namespace linden {

struct ClipProbes {
  at::Tensor saturated;  // [B] share of the values with |x| > 1, which a picture cannot show
  at::Tensor deviation;  // [B] standard deviation over a whole clip (of the population)
  at::Tensor motion;     // [B] mean |x of frame f+1 - x of frame f|; 0 of a single frame
};
ClipProbes probe_clips(const at::Tensor& clips);  // [B, C, F, Y, X]
// [3] fp32: the batch means of saturated, deviation and motion, for one read by the host.
at::Tensor batch_means(const ClipProbes& probes);

// The bins of one interval.
struct SigmaBins {
  std::vector<double> low, high;  // [K] edges in sigma
  std::vector<double> mean;       // [K] NaN where nothing fell
  std::vector<int64_t> count;     // [K]
};

// BinnedMean between two calls, for a checkpoint. Sums are the bits of fp64, so that NaN survives JSON.
struct BinnedMeanState {
  std::vector<int64_t> sum_bits, counts;  // [K]
};
void visit_fields(FieldVisitor& v, BinnedMeanState& s);

// Mean of a value in K equal bins of sigma. The totals stay at one address, and add() neither reads them on the host nor
// depends on an order of addition: it may stand inside a captured CUDA graph, and equal calls give equal bits.
class BinnedMean {
 public:
  // Bins over [low, high]; sigma outside falls into the first or last one.
  BinnedMean(int64_t num_bins, at::Device device, double low = 0, double high = 1);
  void add(const at::Tensor& values, const at::Tensor& sigma);  // [B], [B]; a NaN sigma is left out
  SigmaBins fetch() const;
  void clear();
  BinnedMeanState state() const;
  void restore(const BinnedMeanState& state);           // CheckError: of another number of bins
  const at::Tensor& totals() const { return totals_; }  // [2, K] fp64: sums, counts (to be added up over devices)

 private:
  double low_, high_;
  at::Tensor totals_;   // [2, K] fp64
  at::Tensor numbers_;  // [K, 1] fp32: 0 .. K-1
};

}  // namespace linden
