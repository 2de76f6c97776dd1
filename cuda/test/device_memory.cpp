// Memory of the tests on a device: whatever they allocate, host and device share, and launches are
// waited for, so that the tests of the host run as they are.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdlib>
#include <new>

const char* no_device();

namespace {

// One address range, backed where it is touched; blocks of a power of two, used again by size.
constexpr size_t kBytes = size_t{8} << 30;
constexpr size_t kSmallest = 64;

struct Shared {
  const char* missing = nullptr;
  char* next = nullptr;
  char* end = nullptr;
  void* free[64] = {};

  Shared() {
    setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count == 0) error = cudaErrorNoDevice;
    if (error == cudaSuccess) error = cudaMallocManaged(reinterpret_cast<void**>(&next), kBytes);
    if (error == cudaSuccess) {
      end = next + kBytes;
    } else {
      missing = cudaGetErrorString(error);
    }
  }
};

Shared& shared() {
  static Shared made;
  return made;
}

}  // namespace

const char* no_device() { return shared().missing; }

// Before each block stands the number of its list.
void* operator new(size_t bytes) {
  Shared& s = shared();
  if (s.missing != nullptr) {
    void* block = std::malloc(bytes);
    if (block == nullptr) throw std::bad_alloc();
    return block;
  }
  int list = 0;
  while (kSmallest << list < bytes + kSmallest + sizeof(void*)) list++;
  char* block = static_cast<char*>(s.free[list]);
  if (block != nullptr) {
    s.free[list] = *reinterpret_cast<void**>(block + kSmallest);
  } else {
    if (static_cast<size_t>(s.end - s.next) < kSmallest << list) throw std::bad_alloc();
    block = s.next;
    s.next += kSmallest << list;
  }
  *reinterpret_cast<int*>(block) = list;
  return block + kSmallest;
}

void operator delete(void* data) noexcept {
  Shared& s = shared();
  if (data == nullptr || s.missing != nullptr) {
    std::free(data);
    return;
  }
  char* block = static_cast<char*>(data) - kSmallest;
  const int list = *reinterpret_cast<int*>(block);
  *reinterpret_cast<void**>(block + kSmallest) = s.free[list];
  s.free[list] = block;
}

void operator delete(void* data, size_t) noexcept { operator delete(data); }
