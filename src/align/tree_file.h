// tree.h5: a search on disk. Columns of the tree, latents, counters and the anytime curve; enough to go on.
//
//   tree/{parent,depth,value,visits,latent_row}   [S]     nodes by number; parents come first
//   tree/weight_reference                         [S]     Tree::Children::reference, so that a resumed search is bit-equal
//   tree/readout_weight                           [S]     exact probability under the read-out
//   tree/branch_levels [D+1]   tree/expansions [D]   curve [P, 10 + D]
//   latents [R, ...]                               rows as in tree/latent_row (absent with save_latents = false)
//   attributes: method, nfe, network_calls, num_iterations ...
#pragma once

#include <filesystem>

#include "align/curve.h"
#include "align/search.h"
#include "io/hdf5.h"

namespace linden {

// Between batches only: no node may be open. Written under a temporary name and renamed.
void save_tree(const std::filesystem::path& file, const SearchState& state, const SearchPlan& plan, const AnytimeCurve& curve, bool latents);
// Fills a fresh `state` and `curve`. InputError: another method's branch levels, no latents, a damaged file.
void load_tree(const std::filesystem::path& file, SearchState& state, const SearchPlan& plan, AnytimeCurve& curve);
// From a reader that is open; `file` names it in messages.
void load_tree(const Hdf5Reader& in, const std::filesystem::path& file, SearchState& state, const SearchPlan& plan, AnytimeCurve& curve);

}  // namespace linden
