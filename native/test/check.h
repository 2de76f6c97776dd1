// The whole of our test framework: a counted check that prints where it failed.
#pragma once

#include <cstdio>
#include <string>

extern int failures;

#define CHECK(condition, ...)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      failures++;                                                          \
      std::fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                   \
      std::fputc('\n', stderr);                                            \
    }                                                                      \
  } while (0)

void test_library();
// The names of the groups, with spaces between them.
std::string test_groups();
// The tests of one group of kernels, or with "" of all. False if there is no such group.
bool test_kernels(const std::string& group);
