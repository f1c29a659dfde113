package io.github.backnorm.internal;

import io.github.backnorm.internal.products.Operand;
import io.github.backnorm.internal.threads.Parallel;
import java.util.function.IntFunction;

/**
 * The loops in which the library spends its time, in two forms that give the same bits: {@link ScalarKernels}, loops
 * that C2 vectorizes by itself, and SIMD kernels of the module jdk.incubator.vector. {@link KernelChoice} chooses.
 *
 * <p>Both forms do the same operations on each entry in the same order. SIMD lanes run over columns of the output, never
 * along a sum.
 */
abstract class Kernels {
    /** Numbers from 1/MOST to MOST in magnitude are of moderate size: they can be multiplied with all error terms. */
    static final double MOST = 0x1p300;

    private final Parallel parallel;

    Kernels(Parallel parallel) {
        this.parallel = parallel;
    }

    /** The threads that the work of these kernels is spread over. */
    final Parallel parallel() {
        return parallel;
    }

    /** Doubles in a SIMD register; 1 for scalar kernels. */
    abstract int lanes();

    /** Whether a number is of moderate size; false for NaN. */
    static boolean isModerate(double value) {
        return isWithin(MOST, value);
    }

    /** Whether a number may be a square, or a sum of squares, of numbers of moderate size; false for NaN. */
    static boolean isModerateSquare(double value) {
        return isWithin(MOST * MOST, value);
    }

    private static boolean isWithin(double most, double value) {
        return Math.abs(value) <= most && Math.abs(value) >= 1 / most;
    }

    // Products

    /**
     * {@code C = A·B}, and a row added to each row of it, unless that is {@link Products#NO_ROW}. A and B fit and have
     * entries.
     *
     * @param room gives the array for C, whose content does not matter
     * @return C, row-major
     */
    abstract double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> room);

    // Sums of columns

    /**
     * Adds the rows of a, m×n, to sums of their columns, as {@link CompensatedSum} does. Only a sum that is not finite
     * may differ, which {@link Columns} forms again.
     */
    abstract void sumColumns(int m, int n, double[] a, DoubleDoubles sums);

    // Batch norm by the statistics of the batch, for rows i to i + rows − 1 of the columns of a panel. The low words of
    // sums collect errors and do not make double-doubles (DoubleDoubles.carry), so that sums are formed of at most
    // Quantities.BLOCK rows at a time. y, dy and dh are laid out as h, and none of them is another.

    /** Adds to Σd and Σd². */
    abstract void sumDeviations(Quantities panel, int i, int rows, double[] h);

    /** {@code y = max(f·d + yOffset, least)}. */
    abstract void normalize(Quantities panel, int i, int rows, double[] h, double least, double[] y);

    /** Adds to Σdy, Σdy·d and Σdy². */
    abstract void sumGradients(Quantities panel, int i, int rows, double[] h, double[] dy);

    /** {@code dh = f·dy + g·d + dhOffset}. */
    abstract void differentiate(Quantities panel, int i, int rows, double[] h, double[] dy, double[] dh);

    // Batch norm by a given mean

    /** {@code y = max(f·(h − μ) + β, least)} for rows i to i + rows − 1; NaN stays NaN. */
    abstract void normalizeGiven(Given given, int i, int rows, double[] h, double least, double[] y);

    /**
     * What is given of all columns. Deviations from the mean are formed in two words, exactly.
     *
     * @param factor f = γ·v
     */
    @SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
    record Given(double[] mean, DoubleDoubles factor, double[] beta) {
        int columns() {
            return mean.length;
        }
    }

    // ReLU

    /** {@code dy = da} where y &gt; 0, NaN where y is NaN, else +0.0, for an index range; dy may be da. */
    abstract void reluBackward(int from, int to, double[] y, double[] da, double[] dy);
}
