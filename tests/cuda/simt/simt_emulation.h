// CUDA kernels on the CPU, a fibre per thread, by Volta's rules: threads advance independently and meet only where the source says so.
//
// An error (a wrong mask, a deadlock, ...) ends the launch as a fault ends one on a GPU: cudaGetLastError gives
// cudaErrorLaunchFailure, simt_take_error() the message with its source position.  Memory between blocks is not ordered and
// blocks run one after another, so a block that waits for another never ends.
#pragma once
#include "fibre.h"
#include "scheduler.h"
#include "intrinsics.h"
#include "runtime.h"
