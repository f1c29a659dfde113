package io.github.backnorm.internal;

/**
 * The loops in which the library spends its time, in two forms that give the same bits: {@link ScalarKernels}, loops
 * that C2 vectorizes by itself, and the SIMD kernels of the module jdk.incubator.vector, if {@link KernelChoice} finds
 * them usable.
 *
 * <p>Each form does the same operations on each entry in the same order; SIMD lanes run over columns of the output,
 * never along a sum.
 */
abstract class Kernels {
    private static final KernelChoice CHOICE = KernelChoice.make();

    /** The kernels chosen for this JVM; an IllegalStateException if those that were asked for cannot be had. */
    static Kernels chosen() {
        return CHOICE.kernels();
    }

    /** Doubles in a SIMD register; 1 for scalar kernels. */
    abstract int lanes();

    // Products

    /**
     * {@code C (m×n) = op(A) (m×k) · op(B) (k×n)}, and a row added to each row of C if it is not null. C may have any
     * content before.
     *
     * @param aTransposed whether A is given as k×m
     * @param bTransposed whether B is given as n×k
     */
    abstract void gemm(
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] bias,
            double[] c);

    /** {@code c[co + j] += row[from + j]} for n entries. */
    static void add(int n, double[] row, int from, double[] c, int co) {
        for (int j = 0; j < n; j++) {
            c[co + j] += row[from + j];
        }
    }

    /** {@code c[j] = fma(factor, b[from + j], c[j])} for n entries. */
    static void addScaled(int n, double factor, double[] b, int from, double[] c) {
        for (int j = 0; j < n; j++) {
            c[j] = Math.fma(factor, b[from + j], c[j]);
        }
    }
}
