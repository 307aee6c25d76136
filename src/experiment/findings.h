// Sentences made from the numbers of a table: who is ahead in what, by how much, what is a tie, and how far
// so few runs can be trusted. Nothing here knows what the numbers should say.
#pragma once

#include <string>
#include <vector>

#include "experiment/table.h"

namespace linden {

// Two values tie if they lie within `tolerance` of the better one or differ by at most `negligible`, or, with at
// least two runs each, if their difference is below twice its standard error.
bool is_tie(const Statistic& best, const Statistic& other, double tolerance, double negligible = 0);

// "DTS* has the highest mean log reward, -0.012: 0.310 above best-of-N (-0.322)." Empty if fewer than two rows
// have the number, or if neither direction is better.
std::string comparison_sentence(const Table& table, size_t column, const std::vector<const TableRow*>& rows, double tolerance);

struct Findings {
  std::string text;    // one sentence for each metric that the table has, and what the leader in reward pays in diversity
  std::string caveat;  // unequal budgets, the number of runs, what is called a tie; empty with an empty text
};
// Rows of several budgets ("nfe" among the keys): the largest is described, and what it gained over the smallest.
Findings findings(const Table& table, const std::vector<std::string>& metrics, double tolerance);

}  // namespace linden
