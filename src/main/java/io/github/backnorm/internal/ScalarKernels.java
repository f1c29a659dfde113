package io.github.backnorm.internal;

/** Kernels as plain loops over arrays, small enough for C2 to vectorize by itself. */
final class ScalarKernels extends Kernels {
    @Override
    int lanes() {
        return 1;
    }

    @Override
    public String toString() {
        return "scalar kernels";
    }
}
