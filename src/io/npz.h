// npz: a zip archive of npy arrays, as numpy.savez and numpy.savez_compressed write it (sample sets of other
// projects, pytorch-fid's statistics).
// Formats: numpy/numpy numpy/lib/format.py ("Format Version 1.0" to 3.0); PKWARE APPNOTE.TXT 4.3 (zip).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace linden {

using NpzArrays = std::map<std::string, at::Tensor>;

// Arrays by name (without ".npy"): bool, u8, i8, i16, i32, i64, f16, f32, f64, little-endian, either memory order;
// stored or deflated. InputError with file and array: no zip archive, cut, encrypted, a checksum that does not
// fit, sizes that disagree, another dtype (objects, strings, structures), an archive above 4 GiB.
NpzArrays read_npz(const std::filesystem::path& path);
// Stored, not deflated; written under a temporary name and renamed. The same dtypes.
void write_npz(const std::filesystem::path& path, const NpzArrays& arrays);

// One npy file's bytes. `origin` names it in messages.
at::Tensor parse_npy(std::string_view bytes, const std::string& origin);
std::string format_npy(const at::Tensor& array);

}  // namespace linden
