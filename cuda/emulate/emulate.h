// CUDA's device language on the host: what kernels are compiled against where no nvcc compiles
// them, and what tests run.
//
// A launch runs its blocks one after another, each thread of a block on a stack of its own. Which
// thread runs next is drawn from a seed; threads change at barriers and warp collectives only.
// Shared memory starts poisoned, and every access to it is checked: index, that the element was
// written, and that a barrier of the block or __syncwarp stands between it and another thread's
// access if one of the two writes. A fault ends the launch with a Fault that says kernel, shared
// array, index, threads and where in the source.
//
// Found with certainty: faults that a barrier more or less decides. Of several readers of one
// element only two are remembered, so a race with a third may need another seed. Not seen: races in
// global memory (its bounds are the address sanitizer's), the order of memory between blocks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <source_location>
#include <string>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace emulate {

struct Dim3 {
  unsigned x, y, z;
  constexpr Dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// What is wrong with a kernel.
class Fault : public std::exception {
 public:
  explicit Fault(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

using Place = std::source_location;

constexpr int kWarp = 32;

// Of the thread that runs now.
extern Dim3 thread_index, block_index, block_size, grid_size;

// Begins the order of all later launches anew; ASSAY_EMULATE_SEED, or 1, until it is set. Launches
// draw on, so that the same launch twice has two orders.
void seed(uint64_t value);

// The barrier that all later launches leave out, as "file.cu:line"; ASSAY_EMULATE_WITHOUT, or ""
// for none, until it is set.
void without(const std::string& barrier);

// Runs body once for every thread of the grid.
void launch(const char* kernel, Dim3 grid, Dim3 block, const std::function<void()>& body);

// ---- threads meet ----

enum class Meeting { kBlock, kBlockCount, kWarp, kShuffle, kVote, kMatrix };

// Waits for the other threads of the block and returns how many came with value != 0.
uint64_t meet_block(Meeting kind, uint64_t value, const Place& at);
// Waits for the lanes of mask. A shuffle returns the value of lane `from` of the caller's warp; a
// vote the lanes that came with value != 0.
uint64_t meet_warp(Meeting kind, unsigned mask, uint64_t value, int from, const Place& at);
int lane();

// What one lane holds of a product of matrices [16,16] and [16,8] of bfloat16, two numbers a word,
// and of the float sums [16,8] that it is added to.
struct Fragments {
  const uint32_t* a;
  const uint32_t* b;
  float* sums;
};
// Waits for the whole warp, which the product belongs to.
void meet_matrix(const Fragments& fragments, const Place& at);

// ---- shared memory ----

// The last accesses to one element in this stretch between two barriers of the block.
struct Shadow {
  uint32_t epoch, block;          // of another block: never written
  int16_t writer, reader, other;  // -1: none; readers since the last write, of different warps
  bool atomic;
  uint32_t writer_time, reader_time, other_time;
};

struct Array {
  const char* name;
  int64_t count;
  unsigned char* memory;
  Shadow* shadow;
};

// The array that this declaration makes in the block that runs now.
Array* shared_array(const char* name, int64_t count, size_t element, const Place& at);

enum class Access { kRead, kWrite, kAtomic };
void check(const Array* array, int64_t index, Access access, const Place& at);

// An index and where it is used.
struct Index {
  int64_t value;
  Place at;
  template <class Integer, class = std::enable_if_t<std::is_integral_v<Integer>>>
  Index(Integer i, Place at = Place::current()) : value(static_cast<int64_t>(i)), at(at) {}
};

// An element's address, for atomic operations.
template <class T>
struct Address {
  T* element;
  const Array* array;
  int64_t index;
  Place at;
};

template <class T>
class Element {
 public:
  Element(const Array* array, const Index& index) : array_(array), index_(index) {}
  operator T() const {
    check(array_, index_.value, Access::kRead, index_.at);
    return *memory();
  }
  T operator=(T value) const {
    check(array_, index_.value, Access::kWrite, index_.at);
    return *memory() = value;
  }
  T operator=(const Element& other) const { return *this = static_cast<T>(other); }
  Address<T> operator&() const { return {memory(), array_, index_.value, index_.at}; }

 private:
  T* memory() const { return reinterpret_cast<T*>(array_->memory) + index_.value; }
  const Array* array_;
  Index index_;
};

// A shared array, or what is left of one behind an offset.
template <class T>
class Shared {
 public:
  explicit Shared(const Array* array, int64_t offset = 0) : array_(array), offset_(offset) {}
  Element<T> operator[](Index i) const {
    i.value += offset_;
    return {array_, i};
  }
  Shared operator+(int64_t n) const { return Shared(array_, offset_ + n); }

 private:
  const Array* array_;
  int64_t offset_;
};

template <class T>
uint64_t bits_of(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T of_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulate

#define threadIdx emulate::thread_index
#define blockIdx emulate::block_index
#define blockDim emulate::block_size
#define gridDim emulate::grid_size
using dim3 = emulate::Dim3;

inline void __syncthreads(emulate::Place at = emulate::Place::current()) {
  emulate::meet_block(emulate::Meeting::kBlock, 0, at);
}
inline int __syncthreads_count(int predicate, emulate::Place at = emulate::Place::current()) {
  return static_cast<int>(
      emulate::meet_block(emulate::Meeting::kBlockCount, predicate != 0 ? 1 : 0, at));
}
inline void __syncwarp(unsigned mask = 0xffffffffu, emulate::Place at = emulate::Place::current()) {
  emulate::meet_warp(emulate::Meeting::kWarp, mask, 0, 0, at);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from, emulate::Place at = emulate::Place::current()) {
  return emulate::of_bits<T>(
      emulate::meet_warp(emulate::Meeting::kShuffle, mask, emulate::bits_of(value), from & 31, at));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, emulate::Place at = emulate::Place::current()) {
  return emulate::of_bits<T>(emulate::meet_warp(
      emulate::Meeting::kShuffle, mask, emulate::bits_of(value), emulate::lane() ^ with, at));
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              emulate::Place at = emulate::Place::current()) {
  return static_cast<unsigned>(
      emulate::meet_warp(emulate::Meeting::kVote, mask, predicate != 0 ? 1 : 0, 0, at));
}
inline int __any_sync(unsigned mask, int predicate, emulate::Place at = emulate::Place::current()) {
  return __ballot_sync(mask, predicate, at) != 0;
}
inline int __all_sync(unsigned mask, int predicate, emulate::Place at = emulate::Place::current()) {
  return __ballot_sync(mask, predicate, at) == mask;
}

// mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32, which PTX lays out thus: lane 4g + t has
// rows g and g + 8 of a and of the sums, column g of b, and of the other dimension 2t, 2t + 1, and
// of a and b also those 8 behind. Products are exact. Order and rounding of their sum are open in
// PTX: they are drawn for each launch from what is known of devices, and from worse.
inline void mma_bf16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     emulate::Place at = emulate::Place::current()) {
  emulate::meet_matrix({a, b, sums}, at);
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

// No thread runs beside the one that does this.
template <class T>
T atomicAdd(emulate::Address<T> to, T value) {
  emulate::check(to.array, to.index, emulate::Access::kAtomic, to.at);
  const T before = *to.element;
  *to.element = before + value;
  return before;
}
template <class T>
T atomicMax(T* to, T value) {
  const T before = *to;
  *to = std::max(before, value);
  return before;
}

// ---- the part of the runtime that launchers use: one device, whose streams are done at once ----

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid device ordinal";
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : 101; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
