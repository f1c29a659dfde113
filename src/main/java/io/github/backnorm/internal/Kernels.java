package io.github.backnorm.internal;

import io.github.backnorm.internal.products.FloatRows;
import io.github.backnorm.internal.products.Operand;
import io.github.backnorm.internal.threads.Parallel;
import java.util.function.IntFunction;

/**
 * The loops in which the library spends its time, in two forms that give the same bits: {@link ScalarKernels}, loops
 * that C2 vectorizes by itself, and SIMD kernels of the module jdk.incubator.vector. {@link KernelChoice} chooses.
 *
 * <p>Both forms do the same operations on each entry in the same order. SIMD lanes run over columns of the output,
 * never along a sum.
 */
abstract class Kernels {
    /** Numbers from 1/MOST to MOST in magnitude are of moderate size: products and their errors stay in range. */
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
     * {@code C = A·B}, with {@code row} added to each row unless it is {@link Products#NO_ROW}. The shapes fit, and A
     * and B have entries.
     *
     * @param arrayFor gives the array for C, whose content does not matter
     * @return C, row-major
     */
    abstract double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor);

    /** As {@link #multiply}, in single precision. */
    abstract double[] multiplySingle(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor);

    /** As {@link #multiplySingle}, for a B that is rounded already. */
    abstract double[] multiplySingle(Operand a, FloatRows b, double[] row);

    // Sums of columns

    /**
     * Adds the rows of a, m×n, to sums of its columns, as {@link CompensatedSum} does. Only sums that are not finite
     * may differ; {@link Columns} forms those again.
     */
    abstract void sumColumns(int m, int n, double[] a, DoubleDoubles sums);

    // Batch norm by the statistics of the batch, for rows i to i + rows − 1 of the columns of a panel. The low words of
    // sums only collect errors. After at most Quantities.BLOCK rows the caller makes double-doubles of them
    // (DoubleDoubles.carry). y, dy and dh are laid out as h is; no two of the arrays are the same.

    /** Adds to Σd and Σd². */
    abstract void sumDeviations(Quantities panel, int i, int rows, double[] h);

    /** {@code y = max((yStart + f·d) − yAnchor, least)}. */
    abstract void normalize(Quantities panel, int i, int rows, double[] h, double least, double[] y);

    /** Adds to Σdy, Σdy·d and Σdy². */
    abstract void sumGradients(Quantities panel, int i, int rows, double[] h, double[] dy);

    /** {@code dh = (dhStart + f·dy + g·d) − dhAnchor}. */
    abstract void differentiate(Quantities panel, int i, int rows, double[] h, double[] dy, double[] dh);

    // Batch norm by a given mean

    /** {@code y = max(f·(h − μ) + β, least)} for rows i to i + rows − 1, with h − μ in two words; NaN stays NaN. */
    abstract void normalizeGiven(Given given, int i, int rows, double[] h, double least, double[] y);

    /**
     * What is given for the columns.
     *
     * @param factor f = γ·v
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Given(double[] mean, DoubleDoubles factor, double[] beta) {
        int columns() {
            return mean.length;
        }

        /** What is given for so many rows as one. */
        Given repeated(int rows) {
            int width = rows * columns();
            Given given = new Given(new double[width], DoubleDoubles.zeros(width), new double[width]);
            Quantities.repeat(mean, given.mean);
            Quantities.repeat(factor, given.factor);
            Quantities.repeat(beta, given.beta);
            return given;
        }
    }

    // ReLU

    /** {@code dy = da} where y &gt; 0, NaN where y is NaN, else +0.0, for a range of indices; dy may be da. */
    abstract void reluBackward(int from, int to, double[] y, double[] da, double[] dy);
}
