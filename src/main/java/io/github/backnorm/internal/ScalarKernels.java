package io.github.backnorm.internal;

import java.util.Arrays;

/** Kernels as plain loops over arrays, small enough for C2 to vectorize by itself. */
final class ScalarKernels extends Kernels {
    @Override
    int lanes() {
        return 1;
    }

    @Override
    double[] gemm(
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] bias,
            double[] c) {
        double[] product = c == null ? new double[m * n] : c;
        ScalarProducts.gemm(m, n, k, a, aTransposed, b, bTransposed, bias, product);
        return product;
    }

    @Override
    public String toString() {
        return "scalar kernels";
    }

    @Override
    void sumColumns(int m, int n, double[] a, DoubleDoubles sums) {
        for (int i = 0; i < m; i++) {
            addRow(0, n, a, i * n, sums.hi(), sums.lo());
        }
    }

    /** Adds the entries of a row to the sums of the columns from one to another. */
    static void addRow(int from, int to, double[] a, int at, double[] sum, double[] error) {
        for (int j = from; j < to; j++) {
            double term = a[at + j];
            double plain = sum[j] + term;
            double low = DoubleDouble.sumError(sum[j], term, plain) + error[j];
            sum[j] = plain + low;
            error[j] = low - (sum[j] - plain);
        }
    }

    // Batch norm. C2 vectorizes a loop of few statements over whole arrays, none of them read or written at an index
    // that is not the loop's own. So a row goes through small loops over arrays of one row, in the first-level cache,
    // into which the row is copied and out of which the result is. The words of the columns are copied too, so that all
    // arrays of a kernel are aligned alike (ScalarProducts.rows): nearly twice as fast.

    @Override
    void sumDeviations(
            int m, int n, double[] h, int at, int ldh, double[] pivot, DoubleDoubles sum, DoubleDoubles squares) {
        double[][] words = aligned(m, n, 1, pivot, sum.hi(), sum.lo(), squares.hi(), squares.lo());
        double[] x = words[5];
        for (int i = 0; i < m; i++) {
            System.arraycopy(h, at + i * ldh, x, 0, n);
            addDeviations(n, x, words[0], words[1], words[2]);
            addSquares(n, x, words[0], words[3], words[4]);
        }
        copy(n, words[1], words[2], sum);
        copy(n, words[3], words[4], squares);
    }

    @Override
    void normalize(
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
            double[] y) {
        double[][] words = aligned(m, n, 1, pivot, factor.hi(), factor.lo(), offset.hi(), offset.lo(), anchor);
        double[] x = words[6];
        for (int i = 0; i < m; i++) {
            System.arraycopy(h, at + i * ldh, x, 0, n);
            multiplyAddDeviations(n, x, words[0], words[1], words[2], words[3], words[4], words[5], least);
            System.arraycopy(x, 0, y, at + i * ldh, n);
        }
    }

    @Override
    void sumGradients(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles sum,
            DoubleDoubles products,
            double[] squares) {
        double[][] words = aligned(m, n, 2, pivot, sum.hi(), sum.lo(), products.hi(), products.lo(), squares);
        double[] x = words[6];
        double[] term = words[7];
        for (int i = 0; i < m; i++) {
            System.arraycopy(h, at + i * ldh, x, 0, n);
            System.arraycopy(dy, at + i * ldh, term, 0, n);
            addWithSquares(n, term, words[1], words[2], words[5]);
            addProducts(n, x, words[0], term, words[3], words[4]);
        }
        copy(n, words[1], words[2], sum);
        copy(n, words[3], words[4], products);
        System.arraycopy(words[5], 0, squares, 0, n);
    }

    @Override
    void differentiate(
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
            double[] dh) {
        double[][] words = aligned(
                m, n, 4, pivot, factor.hi(), factor.lo(), slope.hi(), slope.lo(), offset.hi(), offset.lo(), anchor);
        double[] x = words[8];
        double[] term = words[9];
        double[] sum = words[10];
        double[] low = words[11];
        for (int i = 0; i < m; i++) {
            System.arraycopy(h, at + i * ldh, x, 0, n);
            System.arraycopy(dy, at + i * ldh, term, 0, n);
            multiplyAdd(n, term, words[1], words[2], words[5], words[6], sum, low);
            multiplyAddDeviations(n, x, words[0], words[3], words[4], sum, low, words[7], Double.NEGATIVE_INFINITY);
            System.arraycopy(x, 0, dh, at + i * ldh, n);
        }
    }

    @Override
    void normalizeBy(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] mean,
            DoubleDoubles factor,
            double[] beta,
            double least,
            double[] y) {
        double[][] words = aligned(m, n, 3, mean, factor.hi(), factor.lo(), beta);
        double[] x = words[4];
        double[] product = words[5];
        double[] productLow = words[6];
        for (int i = 0; i < m; i++) {
            System.arraycopy(h, at + i * ldh, x, 0, n);
            multiplyDeviations(n, x, words[0], words[1], words[2], product, productLow);
            addBeta(n, product, productLow, words[3], least, x);
            System.arraycopy(x, 0, y, at + i * ldh, n);
        }
    }

    /**
     * Copies of the first n entries of the given arrays, or, for one row, where copies do not pay, these arrays
     * themselves; then {@code more} new arrays of at least n zeros.
     */
    private static double[][] aligned(int m, int n, int more, double[]... arrays) {
        int copies = m == 1 ? 0 : arrays.length;
        double[][] rows = ScalarProducts.rows(copies + more, n);
        for (int i = 0; i < copies; i++) {
            System.arraycopy(arrays[i], 0, rows[i], 0, n);
        }
        if (copies > 0) {
            return rows;
        }
        double[][] all = Arrays.copyOf(arrays, arrays.length + more);
        System.arraycopy(rows, 0, all, arrays.length, more);
        return all;
    }

    private static void copy(int n, double[] sum, double[] error, DoubleDoubles to) {
        System.arraycopy(sum, 0, to.hi(), 0, n);
        System.arraycopy(error, 0, to.lo(), 0, n);
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

    /** {@code sum = f·x + offset}, anchored. */
    private static void multiplyAdd(
            int n,
            double[] x,
            double[] f,
            double[] fLow,
            double[] offset,
            double[] offsetLow,
            double[] sum,
            double[] sumLow) {
        for (int j = 0; j < n; j++) {
            double next = Math.fma(f[j], x[j], offset[j]);
            sumLow[j] = Math.fma(f[j], x[j], offset[j] - next) + Math.fma(fLow[j], x[j], offsetLow[j]);
            sum[j] = next;
        }
    }

    /** {@code x = max(f·(x − c) + offset − anchor, least)}, rounded. */
    private static void multiplyAddDeviations(
            int n,
            double[] x,
            double[] c,
            double[] f,
            double[] fLow,
            double[] offset,
            double[] offsetLow,
            double[] anchor,
            double least) {
        for (int j = 0; j < n; j++) {
            double d = x[j] - c[j];
            double sum = Math.fma(f[j], d, offset[j]);
            double low = Math.fma(f[j], d, offset[j] - sum) + Math.fma(fLow[j], d, offsetLow[j]);
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
    void reluBackward(int m, int n, double[] y, int at, int ld, double[] da, double[] dy) {
        for (int i = 0; i < m; i++) {
            int row = at + i * ld;
            for (int j = 0; j < n; j++) {
                dy[row + j] = masked(y[row + j], da[row + j]);
            }
        }
    }

    /**
     * da where y &gt; 0, NaN where y is NaN, else +0.0, without a branch, which would be mispredicted every other time:
     * the bits of a double above 0 are a positive long, those of a NaN without its sign exceed those of infinity.
     */
    private static double masked(double y, double da) {
        long bits = Double.doubleToRawLongBits(y);
        long positive = (-bits & ~bits) >> 63;
        long nan = (Double.doubleToRawLongBits(Double.POSITIVE_INFINITY) - (bits & Long.MAX_VALUE)) >> 63;
        return Double.longBitsToDouble((Double.doubleToRawLongBits(da) & positive) | nan);
    }
}
