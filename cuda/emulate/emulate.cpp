#include "emulate.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <vector>

#include "matrix_units.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(ASSAY_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves the registers that a call preserves on this stack, and goes on where `to` was saved.
extern "C" void assay_emulate_switch(void** from, void* to);
#endif

namespace emulate {

Dim3 thread_index, block_index, block_size, grid_size;

namespace {

// ---- stacks ----

#if defined(ASSAY_ADDRESS_SANITIZER)
constexpr size_t kStack = 256 << 10;
#else
constexpr size_t kStack = 64 << 10;
#endif

// Where something runs: its stack and, while it does not run, its registers.
struct Context {
#if defined(__x86_64__)
  void* registers = nullptr;  // top of the stack they are saved on
#else
  ucontext_t registers;
#endif
  unsigned char* stack = nullptr;  // NULL: the thread that launches
#if defined(ASSAY_ADDRESS_SANITIZER)
  void* fake = nullptr;
  const void* bottom = nullptr;
  size_t size = 0;
#endif
};

#if defined(__x86_64__)
asm(R"(
.text
.type assay_emulate_switch,@function
assay_emulate_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size assay_emulate_switch,.-assay_emulate_switch
)");
#endif

void change(Context& from, Context& to) {
#if defined(ASSAY_ADDRESS_SANITIZER)
  const void* bottom = to.stack != nullptr ? to.stack : to.bottom;
  __sanitizer_start_switch_fiber(&from.fake, bottom, to.stack != nullptr ? kStack : to.size);
#endif
#if defined(__x86_64__)
  assay_emulate_switch(&from.registers, to.registers);
#else
  swapcontext(&from.registers, &to.registers);
#endif
#if defined(ASSAY_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(from.fake, nullptr, nullptr);
#endif
}

// Makes the context call `entry` when it is first changed to.
void prepare(Context& context, void (*entry)()) {
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(context.stack + kStack);
  *--top = nullptr;  // where entry would return to: keeps the stack aligned as a call does
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  context.registers = top;
#else
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = context.stack;
  context.registers.uc_stack.ss_size = kStack;
  context.registers.uc_link = nullptr;
  makecontext(&context.registers, entry, 0);
#endif
}

// Stacks with a page below each that nobody may touch; kept for later launches.
class Stacks {
 public:
  unsigned char* at(size_t i) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    while (all_.size() <= i) {
      void* memory = mmap(nullptr, page + kStack, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (memory == MAP_FAILED) throw std::bad_alloc();
      mprotect(memory, page, PROT_NONE);
      all_.push_back(static_cast<unsigned char*>(memory) + page);
    }
    return all_[i];
  }

 private:
  std::vector<unsigned char*> all_;
};

// ---- a block ----

enum class State { kReady, kWaiting, kReturned };

struct Thread {
  Context context;
  State state = State::kReady;
  Dim3 index;
  size_t arrays = 0;  // declarations of shared arrays passed so far
  // While it waits:
  Meeting meeting{};
  unsigned mask = 0;
  uint64_t value = 0;
  int from = 0;
  Place at;
  // clock[u]: what this thread knows of lane u's time; a lane's time counts its __syncwarps.
  std::array<uint32_t, kWarp> clock{};
};

struct SharedArray {
  Array array;
  Place at;
  std::vector<unsigned char> memory;
  std::vector<Shadow> shadow;
};

struct Launch {
  const char* kernel = nullptr;
  const std::function<void()>* body = nullptr;
  Context scheduler;
  std::vector<Thread> threads;
  size_t current = 0;
  uint32_t epoch = 0;
  uint32_t block = 0;  // all blocks of all launches are counted
  size_t declared = 0;
  std::optional<Adder> adder;                        // drawn by the first product of a launch
  std::vector<std::unique_ptr<SharedArray>> arrays;  // later blocks use them again
  std::string fault;
};

Launch run;  // one launch at a time
Stacks stacks;
std::mutex turn;
std::mt19937_64 order_of_execution([] {
  const char* text = std::getenv("ASSAY_EMULATE_SEED");
  return text == nullptr ? uint64_t{1} : std::strtoull(text, nullptr, 10);
}());
std::string left_out = [] {
  const char* text = std::getenv("ASSAY_EMULATE_WITHOUT");
  return std::string(text == nullptr ? "" : text);
}();

std::string place(const Place& at) {
  const char* name = std::strrchr(at.file_name(), '/');
  return std::string(name == nullptr ? at.file_name() : name + 1) + ":" + std::to_string(at.line());
}

bool is_left_out(const Place& at) { return !left_out.empty() && left_out == place(at); }

std::string thread_name(size_t t) {
  return "thread " + std::to_string(t) + " of block (" + std::to_string(block_index.x) + "," +
         std::to_string(block_index.y) + ")";
}

const char* name_of(Meeting meeting) {
  switch (meeting) {
    case Meeting::kBlock: return "__syncthreads";
    case Meeting::kBlockCount: return "__syncthreads_count";
    case Meeting::kWarp: return "__syncwarp";
    case Meeting::kShuffle: return "a shuffle";
    case Meeting::kMatrix: return "a product of matrices";
    default: return "a vote";
  }
}

// Ends the launch; the thread that runs is left where it is.
[[noreturn]] void fault(const std::string& text) {
  run.fault = std::string("kernel ") + run.kernel + ": " + text;
  change(run.threads[run.current].context, run.scheduler);
  std::abort();  // nobody comes back
}

void enter() {
#if defined(ASSAY_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(nullptr, &run.scheduler.bottom, &run.scheduler.size);
#endif
  (*run.body)();
  run.threads[run.current].state = State::kReturned;
  change(run.threads[run.current].context, run.scheduler);
  std::abort();
}

bool of_block(Meeting meeting) {
  return meeting == Meeting::kBlock || meeting == Meeting::kBlockCount;
}

bool same_place(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

// Whether two threads wait for the same meeting.
bool together(const Thread& a, const Thread& b) {
  return a.meeting == b.meeting && a.mask == b.mask && same_place(a.at, b.at);
}

std::string waits(size_t t) {
  const Thread& thread = run.threads[t];
  std::string text =
      thread_name(t) + " waits in " + name_of(thread.meeting) + " at " + place(thread.at);
  if (!of_block(thread.meeting)) {
    char mask[16];
    std::snprintf(mask, sizeof mask, "%08x", thread.mask);
    text += std::string(" with mask ") + mask;
  }
  return text;
}

// Lets those go on whose meeting is complete. False if there are none.
bool release() {
  const size_t count = run.threads.size();
  bool any = false;
  size_t first = count;
  bool all = true;
  uint64_t came = 0;
  for (size_t t = 0; t < count; t++) {
    const Thread& thread = run.threads[t];
    if (thread.state == State::kReturned) continue;
    if (first == count) first = t;
    all = all && thread.state == State::kWaiting && of_block(thread.meeting) &&
          together(thread, run.threads[first]);
    came += thread.value;
  }
  if (first < count && all) {
    for (Thread& thread : run.threads) {
      if (thread.state == State::kReturned) continue;
      thread.state = State::kReady;
      thread.value = came;
    }
    run.epoch++;
    return true;
  }
  for (size_t warp = 0; warp < count; warp += kWarp) {
    for (size_t t = warp; t < std::min(warp + kWarp, count); t++) {
      Thread& thread = run.threads[t];
      if (thread.state != State::kWaiting || of_block(thread.meeting)) continue;
      bool complete = true;
      uint64_t votes = 0;
      std::array<uint64_t, kWarp> values{};
      std::array<uint32_t, kWarp> clock{};
      for (int l = 0; l < kWarp && complete; l++) {
        if (!(thread.mask >> l & 1)) continue;
        complete = warp + l < count && run.threads[warp + l].state == State::kWaiting &&
                   together(run.threads[warp + l], thread);
        if (!complete) break;
        const Thread& other = run.threads[warp + l];
        values[l] = other.value;
        if (other.value != 0) votes |= uint64_t{1} << l;
        if (thread.meeting != Meeting::kWarp) continue;
        for (int u = 0; u < kWarp; u++) clock[u] = std::max(clock[u], other.clock[u]);
      }
      if (!complete) continue;
      const unsigned mask = thread.mask;
      const Meeting meeting = thread.meeting;
      if (meeting == Meeting::kMatrix) {
        if (!run.adder) run.adder = draw_adder(order_of_execution);
        multiply(*run.adder, values);
      }
      for (int l = 0; l < kWarp; l++) {
        if (!(mask >> l & 1)) continue;
        Thread& other = run.threads[warp + l];
        other.state = State::kReady;
        if (meeting == Meeting::kShuffle) other.value = values[other.from];
        if (meeting == Meeting::kVote) other.value = votes;
        if (meeting == Meeting::kWarp) {
          other.clock = clock;
          other.clock[l]++;
        }
      }
      any = true;
    }
  }
  return any;
}

// Nobody can go on: who waits for whom.
std::string diagnose() {
  const size_t count = run.threads.size();
  for (size_t t = 0; t < count; t++) {
    const Thread& thread = run.threads[t];
    if (thread.state != State::kWaiting || of_block(thread.meeting)) continue;
    const size_t warp = t / kWarp * kWarp;
    for (int l = 0; l < kWarp; l++) {
      if (!(thread.mask >> l & 1)) continue;
      if (warp + l >= count || run.threads[warp + l].state == State::kReturned) {
        return "mismatched collective: " + waits(t) + ", but thread " + std::to_string(warp + l) +
               (warp + l >= count ? " does not exist" : " has returned");
      }
      if (!together(thread, run.threads[warp + l])) {
        return "mismatched collective: " + waits(t) + ", but " + waits(warp + l);
      }
    }
  }
  size_t first = count;
  for (size_t t = 0; t < count; t++) {
    if (run.threads[t].state != State::kWaiting) continue;
    if (first == count) first = t;
    if (!together(run.threads[first], run.threads[t])) {
      return "divergent barrier: " + waits(first) + ", but " + waits(t);
    }
  }
  return "no thread can go on";
}

// Waits in a meeting whose particulars are set already.
uint64_t wait(Thread& thread) {
  thread.state = State::kWaiting;
  change(thread.context, run.scheduler);
  return thread.value;
}

void run_block(size_t count) {
  run.threads.assign(count, Thread{});
  run.declared = 0;
  run.block++;
  run.epoch++;
  std::vector<size_t> ready;
  for (size_t t = 0; t < count; t++) {
    Thread& thread = run.threads[t];
    thread.context.stack = stacks.at(t);
    const auto x = static_cast<unsigned>(t);
    thread.index = {x % block_size.x, x / block_size.x % block_size.y,
                    x / block_size.x / block_size.y};
    thread.clock[t % kWarp] = 1;
    prepare(thread.context, enter);
    ready.push_back(t);
  }
  for (;;) {
    while (!ready.empty()) {
      const size_t i = order_of_execution() % ready.size();
      run.current = ready[i];
      ready[i] = ready.back();
      ready.pop_back();
      thread_index = run.threads[run.current].index;
      change(run.scheduler, run.threads[run.current].context);
      if (!run.fault.empty()) return;
    }
    if (std::all_of(run.threads.begin(), run.threads.end(),
                    [](const Thread& t) { return t.state == State::kReturned; })) {
      return;
    }
    if (!release()) {
      run.fault = std::string("kernel ") + run.kernel + ": " + diagnose();
      return;
    }
    for (size_t t = 0; t < count; t++) {
      if (run.threads[t].state == State::kReady) ready.push_back(t);
    }
  }
}

// Whether what thread t did at its time `time` came before what the running thread does.
bool ordered(int16_t t, uint32_t time) {
  if (t < 0) return true;
  const size_t other = static_cast<size_t>(t);
  if (other == run.current) return true;
  return other / kWarp == run.current / kWarp &&
         run.threads[run.current].clock[other % kWarp] >= time;
}

}  // namespace

void seed(uint64_t value) {
  const std::lock_guard<std::mutex> lock(turn);
  order_of_execution.seed(value);
}

void without(const std::string& barrier) {
  const std::lock_guard<std::mutex> lock(turn);
  left_out = barrier;
}

void launch(const char* kernel, Dim3 grid, Dim3 block, const std::function<void()>& body) {
  const std::lock_guard<std::mutex> lock(turn);
  const size_t count = static_cast<size_t>(block.x) * block.y * block.z;
  if (count == 0 || count > 1024 || grid.x == 0 || grid.y == 0 || grid.y > 65535 || grid.z != 1) {
    throw Fault(std::string("kernel ") + kernel + ": a grid of " + std::to_string(grid.x) + " x " +
                std::to_string(grid.y) + " blocks of " + std::to_string(count) +
                " threads cannot be launched");
  }
  run.kernel = kernel;
  run.body = &body;
  run.fault.clear();
  run.adder.reset();
  grid_size = grid;
  block_size = block;
  std::vector<uint64_t> order(static_cast<size_t>(grid.x) * grid.y);
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  std::shuffle(order.begin(), order.end(), order_of_execution);
  for (const uint64_t i : order) {
    block_index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x), 0};
    run_block(count);
    if (run.fault.empty()) continue;
#if defined(ASSAY_ADDRESS_SANITIZER)
    // The frames that are left behind will not clear their marks.
    for (const Thread& thread : run.threads) {
      __asan_unpoison_memory_region(thread.context.stack, kStack);
    }
#endif
    throw Fault(run.fault);
  }
}

int lane() { return static_cast<int>(run.current % kWarp); }

uint64_t meet_block(Meeting kind, uint64_t value, const Place& at) {
  if (is_left_out(at)) return value;
  Thread& thread = run.threads[run.current];
  thread.meeting = kind;
  thread.mask = 0;
  thread.value = value;
  thread.at = at;
  return wait(thread);
}

uint64_t meet_warp(Meeting kind, unsigned mask, uint64_t value, int from, const Place& at) {
  if (kind == Meeting::kWarp && is_left_out(at)) return value;
  Thread& thread = run.threads[run.current];
  thread.meeting = kind;
  thread.mask = mask;
  thread.value = value;
  thread.from = from;
  thread.at = at;
  if (!(mask >> lane() & 1)) fault("wrong mask: " + waits(run.current) + ", which leaves it out");
  if (kind == Meeting::kShuffle && !(mask >> from & 1)) {
    fault("wrong mask: " + waits(run.current) + ", and reads lane " + std::to_string(from) +
          ", which it leaves out");
  }
  return wait(thread);
}

void meet_matrix(const Fragments& fragments, const Place& at) {
  meet_warp(Meeting::kMatrix, 0xffffffffu, reinterpret_cast<uint64_t>(&fragments), 0, at);
}

Array* shared_array(const char* name, int64_t count, size_t element, const Place& at) {
  const size_t i = run.threads[run.current].arrays++;
  if (i == run.declared) {
    if (i == run.arrays.size()) run.arrays.push_back(std::make_unique<SharedArray>());
    SharedArray& made = *run.arrays[i];
    made.memory.assign(static_cast<size_t>(count) * element, 0xcb);
    made.shadow.resize(static_cast<size_t>(count));
    made.array = {name, count, made.memory.data(), made.shadow.data()};
    made.at = at;
    run.declared++;
  }
  if (!same_place(run.arrays[i]->at, at)) {
    fault("shared array " + std::string(name) + " at " + place(at) + " is declared by " +
          thread_name(run.current) + " where others declare another");
  }
  return &run.arrays[i]->array;
}

void check(const Array* array, int64_t index, Access access, const Place& at) {
  auto what = [&](const char* kind) {
    return std::string(kind) + ": " + thread_name(run.current) +
           (access == Access::kRead ? " reads " : " writes ") + array->name + "[" +
           std::to_string(index) + "] at " + place(at);
  };
  if (index < 0 || index >= array->count) {
    fault(what("out of bounds") + "; the shared array has " + std::to_string(array->count) +
          " elements");
  }
  Shadow& s = array->shadow[index];
  if (s.epoch != run.epoch) {
    s.epoch = run.epoch;
    s.writer = s.reader = s.other = -1;
    s.atomic = false;
  }
  if (access != Access::kWrite && s.block != run.block) fault(what("uninitialised read"));
  auto race = [&](int16_t other, const char* did) {
    fault(what("race") + ", which thread " + std::to_string(other) + did +
          "; no barrier stands between them");
  };
  const bool both_atomic = access == Access::kAtomic && s.atomic;
  if (!both_atomic && !ordered(s.writer, s.writer_time)) race(s.writer, " has written");
  const auto me = static_cast<int16_t>(run.current);
  const uint32_t now = run.threads[run.current].clock[run.current % kWarp];
  if (access == Access::kRead) {
    if (s.reader < 0 || s.reader / kWarp == me / kWarp) {
      s.reader = me;
      s.reader_time = now;
    } else {
      s.other = me;
      s.other_time = now;
    }
    return;
  }
  if (!ordered(s.reader, s.reader_time)) race(s.reader, " has read");
  if (!ordered(s.other, s.other_time)) race(s.other, " has read");
  s.block = run.block;
  s.atomic = access == Access::kAtomic;
  s.writer = me;
  s.writer_time = now;
  s.reader = s.other = -1;
}

}  // namespace emulate
