package io.github.backnorm.internal;

import io.github.backnorm.internal.products.FloatRows;
import io.github.backnorm.internal.products.NarrowProducts;
import io.github.backnorm.internal.products.Operand;
import io.github.backnorm.internal.products.ScalarFloats;
import io.github.backnorm.internal.products.ScalarProducts;
import io.github.backnorm.internal.threads.Parallel;
import java.util.function.IntFunction;

/** Kernels as plain loops over arrays, small enough for C2 to vectorize by itself. */
final class ScalarKernels extends Kernels {
    /** The most columns of B for narrow products: with ten, the gain is lost. */
    private static final int NARROW = 4;

    ScalarKernels(Parallel parallel) {
        super(parallel);
    }

    @Override
    int lanes() {
        return 1;
    }

    @Override
    double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        return NarrowProducts.suits(a, b, NARROW)
                ? NarrowProducts.multiply(parallel(), a, b, row, arrayFor)
                : ScalarProducts.multiply(parallel(), a, b, row, arrayFor);
    }

    @Override
    double[] multiplySingle(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        return ScalarFloats.multiply(parallel(), a, b, row, arrayFor);
    }

    @Override
    double[] multiplySingle(Operand a, FloatRows b, double[] row) {
        return b.multiply(a, row, ScalarFloats::addOneByFour);
    }

    @Override
    public String toString() {
        return "scalar kernels";
    }

    @Override
    void sumColumns(int m, int n, double[] a, DoubleDoubles sums) {
        for (int i = 0; i < m; i++) {
            addToSums(0, n, a, i * n, sums.hi(), sums.lo());
        }
    }

    /** Adds a row, which begins at {@code at}, to the sums of the columns {@code from} to {@code to − 1}. */
    static void addToSums(int from, int to, double[] a, int at, double[] sum, double[] error) {
        for (int j = from; j < to; j++) {
            double term = a[at + j];
            double plain = sum[j] + term;
            double low = DoubleDouble.sumError(sum[j], term, plain) + error[j];
            sum[j] = plain + low;
            error[j] = low - (sum[j] - plain);
        }
    }

    // Batch norm. C2 vectorizes a loop of few statements if it reads and writes arrays at its own index only. So a row
    // is copied to an array of one row, goes through small loops in the first-level cache, and is copied back. The
    // words of the columns are copied too, so that all arrays of a kernel are aligned alike (ScalarProducts.rows):
    // nearly twice as fast.

    /** Arrays of one row that are aligned alike. */
    private static final class AlignedRows {
        private final int width;
        private final boolean copying;
        private final double[][] arrays;
        private int used;

        /** Room for copies of words and for other arrays. Copying does not pay for a kernel of a single row. */
        AlignedRows(int rows, int width, int copies, int others) {
            this.width = width;
            this.copying = rows > 1;
            this.arrays = ScalarProducts.rows(copying ? copies + others : others, width);
        }

        /** A copy of the words of the columns, or the words themselves if copying does not pay. */
        double[] copyOf(double[] words) {
            if (!copying) {
                return words;
            }
            double[] copy = arrays[used++];
            System.arraycopy(words, 0, copy, 0, width);
            return copy;
        }

        double[] next() {
            return arrays[used++];
        }

        void copyBack(double[] copy, double[] words) {
            System.arraycopy(copy, 0, words, 0, width);
        }
    }

    @Override
    void sumDeviations(Quantities panel, int i, int rows, double[] h) {
        int width = panel.width;
        AlignedRows aligned = new AlignedRows(rows, width, 5, 1);
        double[] c = aligned.copyOf(panel.pivot);
        double[] sum = aligned.copyOf(panel.sumD.hi());
        double[] sumLow = aligned.copyOf(panel.sumD.lo());
        double[] squares = aligned.copyOf(panel.sumDSquare.hi());
        double[] squaresLow = aligned.copyOf(panel.sumDSquare.lo());
        double[] x = aligned.next();
        for (int row = i; row < i + rows; row++) {
            System.arraycopy(h, panel.at(row), x, 0, width);
            addDeviations(width, x, c, sum, sumLow);
            addSquares(width, x, c, squares, squaresLow);
        }
        aligned.copyBack(sum, panel.sumD.hi());
        aligned.copyBack(sumLow, panel.sumD.lo());
        aligned.copyBack(squares, panel.sumDSquare.hi());
        aligned.copyBack(squaresLow, panel.sumDSquare.lo());
    }

    @Override
    void normalize(Quantities panel, int i, int rows, double[] h, double least, double[] y) {
        int width = panel.width;
        AlignedRows aligned = new AlignedRows(rows, width, 6, 1);
        double[] c = aligned.copyOf(panel.pivot);
        double[] f = aligned.copyOf(panel.factor.hi());
        double[] fLow = aligned.copyOf(panel.factor.lo());
        double[] start = aligned.copyOf(panel.yStart.hi());
        double[] startLow = aligned.copyOf(panel.yStart.lo());
        double[] anchor = aligned.copyOf(panel.yAnchor);
        double[] x = aligned.next();
        for (int row = i; row < i + rows; row++) {
            System.arraycopy(h, panel.at(row), x, 0, width);
            multiplyAddDeviations(width, x, c, f, fLow, start, startLow, anchor, least);
            System.arraycopy(x, 0, y, panel.at(row), width);
        }
    }

    @Override
    void sumGradients(Quantities panel, int i, int rows, double[] h, double[] dy) {
        int width = panel.width;
        AlignedRows aligned = new AlignedRows(rows, width, 6, 2);
        double[] c = aligned.copyOf(panel.pivot);
        double[] sum = aligned.copyOf(panel.sumDy.hi());
        double[] sumLow = aligned.copyOf(panel.sumDy.lo());
        double[] products = aligned.copyOf(panel.sumDyD.hi());
        double[] productsLow = aligned.copyOf(panel.sumDyD.lo());
        double[] squares = aligned.copyOf(panel.sumDySquare);
        double[] x = aligned.next();
        double[] term = aligned.next();
        for (int row = i; row < i + rows; row++) {
            System.arraycopy(h, panel.at(row), x, 0, width);
            System.arraycopy(dy, panel.at(row), term, 0, width);
            addWithSquares(width, term, sum, sumLow, squares);
            addProducts(width, x, c, term, products, productsLow);
        }
        aligned.copyBack(sum, panel.sumDy.hi());
        aligned.copyBack(sumLow, panel.sumDy.lo());
        aligned.copyBack(products, panel.sumDyD.hi());
        aligned.copyBack(productsLow, panel.sumDyD.lo());
        aligned.copyBack(squares, panel.sumDySquare);
    }

    @Override
    void differentiate(Quantities panel, int i, int rows, double[] h, double[] dy, double[] dh) {
        int width = panel.width;
        AlignedRows aligned = new AlignedRows(rows, width, 8, 4);
        double[] c = aligned.copyOf(panel.pivot);
        double[] f = aligned.copyOf(panel.factor.hi());
        double[] fLow = aligned.copyOf(panel.factor.lo());
        double[] g = aligned.copyOf(panel.slope.hi());
        double[] gLow = aligned.copyOf(panel.slope.lo());
        double[] start = aligned.copyOf(panel.dhStart.hi());
        double[] startLow = aligned.copyOf(panel.dhStart.lo());
        double[] anchor = aligned.copyOf(panel.dhAnchor);
        double[] x = aligned.next();
        double[] term = aligned.next();
        double[] sum = aligned.next();
        double[] sumLow = aligned.next();
        for (int row = i; row < i + rows; row++) {
            System.arraycopy(h, panel.at(row), x, 0, width);
            System.arraycopy(dy, panel.at(row), term, 0, width);
            multiplyAdd(width, term, f, fLow, start, startLow, sum, sumLow);
            multiplyAddDeviations(width, x, c, g, gLow, sum, sumLow, anchor, Double.NEGATIVE_INFINITY);
            System.arraycopy(x, 0, dh, panel.at(row), width);
        }
    }

    @Override
    void normalizeGiven(Given given, int i, int rows, double[] h, double least, double[] y) {
        int n = given.columns();
        AlignedRows aligned = new AlignedRows(rows, n, 4, 3);
        double[] mean = aligned.copyOf(given.mean());
        double[] f = aligned.copyOf(given.factor().hi());
        double[] fLow = aligned.copyOf(given.factor().lo());
        double[] beta = aligned.copyOf(given.beta());
        double[] x = aligned.next();
        double[] product = aligned.next();
        double[] productLow = aligned.next();
        for (int row = i; row < i + rows; row++) {
            System.arraycopy(h, row * n, x, 0, n);
            multiplyDeviations(n, x, mean, f, fLow, product, productLow);
            addBeta(n, product, productLow, beta, least, x);
            System.arraycopy(x, 0, y, row * n, n);
        }
    }

    /** Adds {@code x − c} to sums. */
    private static void addDeviations(int n, double[] x, double[] c, double[] sum, double[] error) {
        for (int j = 0; j < n; j++) {
            double d = x[j] - c[j];
            double next = sum[j] + d;
            error[j] += DoubleDouble.sumError(sum[j], d, next);
            sum[j] = next;
        }
    }

    /** Adds {@code (x − c)²} to sums. */
    private static void addSquares(int n, double[] x, double[] c, double[] sum, double[] error) {
        for (int j = 0; j < n; j++) {
            double d = x[j] - c[j];
            double square = d * d;
            double next = sum[j] + square;
            error[j] += DoubleDouble.sumError(sum[j], square, next) + DoubleDouble.productError(d, d, square);
            sum[j] = next;
        }
    }

    /** Adds terms to sums, and their squares to sums of one word. */
    private static void addWithSquares(int n, double[] term, double[] sum, double[] error, double[] squares) {
        for (int j = 0; j < n; j++) {
            double next = sum[j] + term[j];
            error[j] += DoubleDouble.sumError(sum[j], term[j], next);
            sum[j] = next;
            squares[j] = Math.fma(term[j], term[j], squares[j]);
        }
    }

    /** Adds {@code term·(x − c)} to sums. */
    private static void addProducts(int n, double[] x, double[] c, double[] term, double[] sum, double[] error) {
        for (int j = 0; j < n; j++) {
            double d = x[j] - c[j];
            double product = d * term[j];
            double next = sum[j] + product;
            error[j] += DoubleDouble.sumError(sum[j], product, next) + DoubleDouble.productError(d, term[j], product);
            sum[j] = next;
        }
    }

    /** {@code sum + sumLow = start + f·x}, of an anchored start. */
    private static void multiplyAdd(
            int n,
            double[] x,
            double[] f,
            double[] fLow,
            double[] start,
            double[] startLow,
            double[] sum,
            double[] sumLow) {
        for (int j = 0; j < n; j++) {
            double next = Math.fma(f[j], x[j], start[j]);
            sumLow[j] = Math.fma(f[j], x[j], start[j] - next) + Math.fma(fLow[j], x[j], startLow[j]);
            sum[j] = next;
        }
    }

    /** {@code x = max((start + f·(x − c)) − anchor, least)}, rounded. */
    private static void multiplyAddDeviations(
            int n,
            double[] x,
            double[] c,
            double[] f,
            double[] fLow,
            double[] start,
            double[] startLow,
            double[] anchor,
            double least) {
        for (int j = 0; j < n; j++) {
            double d = x[j] - c[j];
            double sum = Math.fma(f[j], d, start[j]);
            double low = Math.fma(f[j], d, start[j] - sum) + Math.fma(fLow[j], d, startLow[j]);
            x[j] = Math.max((sum - anchor[j]) + low, least);
        }
    }

    /** {@code p + pLow = f·(x − c)}. */
    private static void multiplyDeviations(
            int n, double[] x, double[] c, double[] f, double[] fLow, double[] p, double[] pLow) {
        for (int j = 0; j < n; j++) {
            double d = x[j] - c[j];
            double dLow = DoubleDouble.sumError(x[j], -c[j], d);
            double product = f[j] * d;
            p[j] = product;
            pLow[j] = Math.fma(f[j], dLow, Math.fma(fLow[j], d, DoubleDouble.productError(f[j], d, product)));
        }
    }

    /** {@code b = max(beta + p, least)}, rounded. */
    private static void addBeta(int n, double[] p, double[] pLow, double[] beta, double least, double[] b) {
        for (int j = 0; j < n; j++) {
            double sum = beta[j] + p[j];
            double low = DoubleDouble.sumError(beta[j], p[j], sum) + pLow[j];
            b[j] = Math.max(sum + low, least);
        }
    }

    // ReLU

    @Override
    void reluBackward(int from, int to, double[] y, double[] da, double[] dy) {
        for (int k = from; k < to; k++) {
            dy[k] = masked(y[k], da[k]);
        }
    }

    /**
     * {@link #reluBackward} of one entry, without a branch, which would be mispredicted every other time. The bits of a
     * double above 0 are a positive long; those of a NaN, without its sign, exceed those of infinity.
     */
    private static double masked(double y, double da) {
        long bits = Double.doubleToRawLongBits(y);
        long positive = (-bits & ~bits) >> 63;
        long nan = (Double.doubleToRawLongBits(Double.POSITIVE_INFINITY) - (bits & Long.MAX_VALUE)) >> 63;
        return Double.longBitsToDouble((Double.doubleToRawLongBits(da) & positive) | nan);
    }
}
