package io.github.backnorm.internal;

import java.util.stream.IntStream;

/**
 * Normalization by a given mean and variance, {@code y = γ·(h − μ)/√(σ² + ε) + β} (26), entry by entry: what {@link
 * Normalization} applies, with {@code c = μ} and {@code r = 0}.
 *
 * <p>Immutable, for any number of threads. What comes out NaN or infinite, because it is or because something
 * overflowed on the way, is computed again by {@link ScaledColumn}, and so are the columns whose μ, γ·v or β is too
 * small or too large for the kernels. An entry's bits depend on nothing but the entry and its column.
 */
public final class GivenNormalization {
    /** Rows of which y is still in the cache when it is looked at again. */
    private static final int BLOCK = 16;

    private final Kernels kernels = Kernels.chosen();
    private final int n;
    private final double[] mean;
    private final double[] gamma;
    private final double[] beta;
    private final ScaledColumn[] columns;
    private final int[] others; // the columns that are not for the kernels
    private final DoubleDoubles factor; // f = γ·v

    /** Keeps the arrays, 1×n each, which must not change; mean and variance are finite, variance and ε at least 0. */
    public GivenNormalization(double[] mean, double[] variance, double epsilon, double[] gamma, double[] beta) {
        this.n = mean.length;
        this.mean = mean;
        this.gamma = gamma;
        this.beta = beta;
        this.columns = new ScaledColumn[n];
        this.factor = DoubleDoubles.zeros(n);
        this.others = IntStream.range(0, n)
                .filter(j -> !setFactor(j, variance[j], epsilon))
                .toArray();
    }

    /** Sets what is known of a column; whether the kernels can do it. */
    private boolean setFactor(int j, double variance, double epsilon) {
        columns[j] = new ScaledColumn(mean[j], variance, epsilon);
        DoubleDouble product = columns[j].moderateFactor(gamma[j]);
        if (product == null || !(Math.abs(beta[j]) <= Normalization.MOST_FACTOR)) {
            return false;
        }
        factor.set(j, product);
        return true;
    }

    /**
     * Normalizes h, m×n, into y.
     *
     * @param relu whether y is to be max(y, 0), as of {@link Elementwise#relu}
     */
    public void apply(int m, double[] h, boolean relu, double[] y) {
        double least = relu ? 0 : Double.NEGATIVE_INFINITY;
        for (int i = 0; i < m && n > 0; i += BLOCK) { // without columns, m may be any int
            int rows = Math.min(BLOCK, m - i);
            int at = i * n;
            kernels.normalizeBy(rows, n, h, at, n, mean, factor, beta, least, y);
            for (int k = at; k < at + rows * n; k++) {
                if (!Double.isFinite(y[k])) {
                    set(k, h, least, y);
                }
            }
            for (int j : others) {
                for (int row = 0; row < rows; row++) {
                    set(at + row * n + j, h, least, y);
                }
            }
        }
    }

    private void set(int k, double[] h, double least, double[] y) {
        int j = k % n;
        y[k] = Math.max(columns[j].apply(h[k], gamma[j], beta[j]), least);
    }
}
