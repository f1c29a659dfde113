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
    /** The choice, in a class of its own: it makes objects of subclasses, which must find this class initialized. */
    private static final class Chosen {
        static final KernelChoice CHOICE = KernelChoice.make();
    }

    /**
     * The kernels chosen for this JVM; an IllegalStateException if those that were asked for, or the threads, cannot be
     * had, so that work of any size tells it.
     */
    static Kernels chosen() {
        Parallel.threads();
        return Chosen.CHOICE.kernels();
    }

    /** Doubles in a SIMD register; 1 for scalar kernels. */
    abstract int lanes();

    // Products

    /**
     * {@code C (m×n) = op(A) (m×k) · op(B) (k×n)}, and a row added to each row of C if it is not null; m, n and k are at
     * least 1.
     *
     * @param aTransposed whether A is given as k×m
     * @param bTransposed whether B is given as n×k
     * @param c where C goes, with any content before; null for a new array
     * @return C
     */
    abstract double[] gemm(
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

    /**
     * Adds the m rows of a, m×n, to sums of their columns, as {@link CompensatedSum} does; only a sum that is not
     * finite may differ, which {@link Columns} forms again.
     */
    abstract void sumColumns(int m, int n, double[] a, DoubleDoubles sums);

    // Batch norm. A block of m rows of n columns begins at index at of a row-major array with rows of length ld; m is
    // at most Normalization.BLOCK where sums are formed. Words of the columns begin at index 0 of their arrays; the low
    // words of sums collect errors and are not made part of a double-double again (DoubleDoubles.carry). dy, dh and y
    // are laid out as h.

    // By a batch's own statistics. The deviations d = h − c, c being the pivot, are exact, and offsets are anchored
    // (DoubleDoubles.anchor).

    /** Adds {@code Σ d} to sum and {@code Σ d²} to squares. */
    abstract void sumDeviations(
            int m, int n, double[] h, int at, int ldh, double[] pivot, DoubleDoubles sum, DoubleDoubles squares);

    /** {@code y = factor·d + offset − anchor} or least, whichever is larger. */
    abstract void normalize(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] pivot,
            DoubleDoubles factor,
            DoubleDoubles offset,
            double[] anchor,
            double least,
            double[] y);

    /** Adds {@code Σ dy} to sum, {@code Σ dy·d} to products, and {@code Σ dy²}, in one word, to squares. */
    abstract void sumGradients(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles sum,
            DoubleDoubles products,
            double[] squares);

    /** {@code dh = factor·dy + slope·d + offset − anchor}. */
    abstract void differentiate(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles factor,
            DoubleDoubles slope,
            DoubleDoubles offset,
            double[] anchor,
            double[] dh);

    // By a given mean, from which the deviations are two words, exactly

    /** {@code y = max(factor·(h − mean) + beta, least)}; NaN stays NaN. */
    abstract void normalizeBy(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] mean,
            DoubleDoubles factor,
            double[] beta,
            double least,
            double[] y);

    // ReLU

    /** {@code dy = da} where y &gt; 0, NaN where y is NaN, else +0.0; all are laid out alike, and dy may be da. */
    abstract void reluBackward(int m, int n, double[] y, int at, int ld, double[] da, double[] dy);
}
