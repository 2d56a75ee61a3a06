// The table of mappings as text: a line per problem and limit of shared memory.
#include "cuda/tuning.h"

#include <cstdio>
#include <initializer_list>

int main() {
  for (int shared_limit : {163 * 1024, 227 * 1024})
    for (int components : {1, 2})
      for (int real_bytes : {4, 8})
        for (int vectors : {0, 1})
          for (int n = 0; n <= 129; ++n) {
            const sk::Tuning t = sk::tune({n, components, real_bytes, vectors != 0}, shared_limit);
            std::printf("%d %d %d %d %d %d %d %d %d %d %d %d %lld\n", shared_limit, components, real_bytes, vectors, n, int(t.mapping), t.team, t.threads,
                        t.matrices, t.slot_bytes, t.shared_bytes, int(t.placement), (long long)t.workspace_bytes);
          }
}
