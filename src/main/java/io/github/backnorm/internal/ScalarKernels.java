package io.github.backnorm.internal;

/** Kernels as plain loops over arrays, small enough for C2 to vectorize by itself. */
final class ScalarKernels extends Kernels {
    @Override
    int lanes() {
        return 1;
    }

    @Override
    void gemm(
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] bias,
            double[] c) {
        ScalarProducts.gemm(m, n, k, a, aTransposed, b, bTransposed, bias, c);
    }

    @Override
    public String toString() {
        return "scalar kernels";
    }
}
