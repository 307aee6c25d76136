// Mutations of a file, drawn from a counter: the same (seed, number) gives the same bytes on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace linden::fuzz {

class Mutator {
 public:
  Mutator(uint64_t seed, uint64_t number) : key_(seed * 0x9e3779b97f4a7c15u ^ (number + 1) * 0xd1342543de82ef95u) {}

  uint64_t next();  // 64 random bits (splitmix64)
  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  bool one_in(uint64_t n) { return below(n) == 0; }

  // 1 to 8 changes: flipped bits, interesting bytes and integers, chunks erased, repeated, inserted and swapped,
  // a cut end, a splice with `other`, words of `dictionary`, decimal numbers.
  void mutate(std::string& bytes, const std::string& other, const std::vector<std::string>& dictionary);

 private:
  void change(std::string& bytes, const std::string& other, const std::vector<std::string>& dictionary);
  size_t place(std::string_view bytes);
  void set_integer(std::string& bytes);
  void set_decimal(std::string& bytes);
  void move_chunk(std::string& bytes);
  void add_token(std::string& bytes, const std::vector<std::string>& dictionary);

  uint64_t key_;
};

}  // namespace linden::fuzz
