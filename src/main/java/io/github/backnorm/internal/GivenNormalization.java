package io.github.backnorm.internal;

import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Batch norm by a given mean and variance, {@code y = γ·(h − μ)/√(σ² + ε) + β} (26), entry by entry. The bits of an
 * entry depend only on that of h and on what is given for its column.
 *
 * <p>Columns whose μ or γ·v is too small or too large for the kernels are computed by {@link ScaledColumn}. So is
 * every entry that comes out NaN or infinite: it may have overflowed on the way.
 *
 * <p>Immutable, for any number of threads.
 */
public final class GivenNormalization {
    /** Rows at a time: their y is still in the cache when it is searched for NaN and infinity. */
    private static final int BLOCK = 16;

    private final Kernels kernels = KernelChoice.chosen();
    private final Kernels.Given given;

    /** For a narrow batch, what is given for all rows of a block as one row; not used for others. */
    private final Kernels.Given ofBlock;

    private final double[] gamma;
    private final ScaledColumn[] columns;
    private final int[] scaled; // the columns that are not for the kernels

    /** Keeps the arrays, 1×n each, which must not change; mean and variance are finite, variance and ε at least 0. */
    public GivenNormalization(double[] mean, double[] variance, double epsilon, double[] gamma, double[] beta) {
        int n = mean.length;
        this.given = new Kernels.Given(mean, DoubleDoubles.zeros(n), beta);
        this.gamma = gamma;
        this.columns = new ScaledColumn[n];
        this.scaled = IntStream.range(0, n)
                .filter(j -> !setFactor(j, variance[j], epsilon))
                .toArray();
        this.ofBlock = n <= Panel.NARROW ? given.repeated(BLOCK) : given;
    }

    /** Sets what is given for a column, and returns whether it is for the kernels. */
    private boolean setFactor(int j, double variance, double epsilon) {
        columns[j] = new ScaledColumn(given.mean()[j], variance, epsilon);
        Optional<DoubleDouble> factor = columns[j].moderateFactor(gamma[j]);
        factor.ifPresent(f -> given.factor().set(j, f));
        return factor.isPresent();
    }

    /** Sets {@code y = max(γ·ĥ + β, least)} for h, m×n. */
    public void apply(int m, double[] h, double least, double[] y) {
        int n = given.columns();
        for (int i = 0; i < m && n > 0; i += BLOCK) { // without columns, m may be so large that i overflows
            int rows = Math.min(BLOCK, m - i);
            int at = i * n;
            if (rows == BLOCK && n <= Panel.NARROW) {
                kernels.normalizeGiven(ofBlock, i / BLOCK, 1, h, least, y);
            } else {
                kernels.normalizeGiven(given, i, rows, h, least, y);
            }
            for (int k = at; k < at + rows * n; k++) {
                if (!Double.isFinite(y[k])) {
                    set(k, h, least, y);
                }
            }
            for (int j : scaled) {
                for (int row = 0; row < rows; row++) {
                    set(at + row * n + j, h, least, y);
                }
            }
        }
    }

    private void set(int k, double[] h, double least, double[] y) {
        int j = k % given.columns();
        y[k] = Math.max(columns[j].apply(h[k], gamma[j], given.beta()[j]), least);
    }
}
