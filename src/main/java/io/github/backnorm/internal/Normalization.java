package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * Batch normalization of columns, forward and backward, as if computed in twice the working precision and rounded once.
 *
 * <p>What it computes, with the numbers of {@code docs/derivation.md}; the bound on its error, with the proof, is in
 * {@code docs/numerics.md}:
 * <pre>{@code
 * y  = γ·(h − μ)·v + β                          (4), (5), (26)
 * dγ = v·Σₖ dyₖ·uₖ, u = h − μ                   (16)
 * dβ = Σₖ dyₖ                                   (17)
 * dh = γ·v·(dy − dβ/N − u·(v²·Σₖ dyₖ·uₖ)/N)     (18)
 * }</pre>
 *
 * <p>Structure. A column is shifted by a pivot c, one of its own entries: {@code d = h − c} as two words, exactly.
 * The mean is kept as c and a two-word remainder {@code r = mean(d)}, so that {@code u = d − r} has an error relative
 * to the spread of the column and not to its mean. Sums carry their rounding errors along ({@link CompensatedSums});
 * what is one number a column (r, v, the factors) is a {@link DoubleDouble}. A result is rounded once, in the last
 * addition, of the leading word and the word of errors.
 *
 * <p>Scale. A column whose spread is outside 2^±400 is multiplied by a power of two, so that squares and their errors
 * neither overflow nor underflow; so is dy. Factors such as γ·v are kept as a number of moderate size and a power of
 * two, applied last.
 *
 * <p>NaN and ±Infinity make a word of errors NaN; then the leading word, which is the formula in plain arithmetic, is
 * the result.
 *
 * <p>Rows are taken one after the other, so that sums are formed in their order; a row goes through a few loops over
 * the columns, which are independent of each other, with the words in between in arrays of one row.
 */
public final class Normalization {
    /** Numbers up to 2^±400 can be squared with all the error terms. */
    private static final int MODERATE = 400;

    /** Means from this size on could make h − μ overflow: half an ulp of the largest double. */
    private static final double LARGE_MEAN = 0x1p969;

    private final int rows; // of the batch that the statistics come from, 0 for given ones
    private final int columns;
    /** Of the power of two that the column is divided by; all that follows is of that column. */
    private final int[] exponent;

    private final double[] scale; // 2^−exponent
    private final double[] pivot; // c
    private final double[] meanHi; // r
    private final double[] meanLo;
    private final DoubleDouble[] sumOfSquares; // Σ u²
    private final DoubleDouble[] inverseStd; // v, from ½ to 1, without a power of two of its own
    private final int[] inverseStdExponent;

    private Normalization(int rows, int columns) {
        this.rows = rows;
        this.columns = columns;
        this.pivot = new double[columns];
        this.exponent = new int[columns];
        this.scale = new double[columns];
        this.meanHi = new double[columns];
        this.meanLo = new double[columns];
        this.sumOfSquares = new DoubleDouble[columns];
        this.inverseStd = new DoubleDouble[columns];
        this.inverseStdExponent = new int[columns];
    }

    /** By the mean and the biased variance of the batch h, m×n, itself; m ≥ 2, all entries finite. */
    public static Normalization ofBatch(int m, int n, double[] h, double epsilon) {
        Normalization batch = new Normalization(m, n);
        batch.findMean(h);
        batch.sumSquares(h);
        for (int j = 0; j < n; j++) {
            batch.setInverseStd(j, batch.sumOfSquares[j].dividedBy(m), epsilon);
        }
        return batch;
    }

    /** By a given mean and variance. */
    public static Normalization ofStatistics(double[] mean, double[] variance, double epsilon) {
        Normalization given = new Normalization(0, mean.length);
        for (int j = 0; j < mean.length; j++) {
            given.setPivot(j, mean[j], Math.abs(mean[j]) < LARGE_MEAN ? 0 : 2);
            // v is not scaled with the column: a variance may be as small or large as a double can be
            boolean large = Math.max(variance[j], epsilon) >= 0x1p1023;
            int power = large ? -2 : 0;
            DoubleDouble sum = DoubleDouble.sum(Math.scalb(variance[j], power), Math.scalb(epsilon, power));
            given.setInverseStd(j, sum, given.exponent[j] + power / 2);
        }
        return given;
    }

    private void findMean(double[] h) {
        double[] d = new double[columns];
        double[] dLow = new double[columns];
        double[] spread = new double[columns];
        CompensatedSums sums = new CompensatedSums(columns);
        for (int i = 0; i < rows; i++) {
            int row = i * columns;
            for (int j = 0; j < columns; j++) {
                d[j] = h[row + j] - h[j];
                dLow[j] = DoubleDouble.sumError(h[row + j], -h[j], d[j]);
                spread[j] = Math.max(spread[j], Math.abs(d[j]));
            }
            sums.add(d, dLow);
        }
        for (int j = 0; j < columns; j++) {
            setPivot(j, h[j], excess(spread[j]));
            DoubleDouble r = sums.get(j).scaled(-exponent[j]).dividedBy(rows);
            meanHi[j] = r.hi();
            meanLo[j] = r.lo();
        }
    }

    private void setPivot(int column, double value, int power) {
        exponent[column] = power;
        scale[column] = Math.scalb(1.0, -power);
        pivot[column] = value * scale[column];
    }

    private void sumSquares(double[] h) {
        double[] u = new double[columns];
        double[] uLow = new double[columns];
        CompensatedSums sums = new CompensatedSums(columns);
        for (int i = 0; i < rows; i++) {
            deviations(h, i * columns, u, uLow);
            for (int j = 0; j < columns; j++) {
                double square = u[j] * u[j];
                uLow[j] = Math.fma(2 * u[j], uLow[j], DoubleDouble.productError(u[j], u[j], square));
                u[j] = square;
            }
            sums.add(u, uLow);
        }
        Arrays.setAll(sumOfSquares, sums::get);
    }

    /** {@code u = h − μ = (h − c) − r} (9) of one row, as two words. */
    private void deviations(double[] h, int row, double[] u, double[] uLow) {
        for (int j = 0; j < columns; j++) {
            double scaled = h[row + j] * scale[j];
            double d = scaled - pivot[j];
            u[j] = d - meanHi[j];
            uLow[j] = DoubleDouble.sumError(d, -meanHi[j], u[j])
                    + (DoubleDouble.sumError(scaled, -pivot[j], d) - meanLo[j]);
        }
    }

    /** {@code v = (σ² + ε)^(−1/2)} (9), of the column and ε as they are scaled. */
    private void setInverseStd(int j, DoubleDouble variance, double epsilon) {
        int power = -2 * exponent[j];
        if (power != 0 && epsilon > 0 && Math.getExponent(epsilon) + power > MODERATE) {
            setInverseStd(
                    j, DoubleDouble.of(epsilon), exponent[j]); // the scaled variance, at most 4, is nothing beside it
        } else {
            setInverseStd(j, variance.plus(DoubleDouble.of(Math.scalb(epsilon, power))), 0);
        }
    }

    /** {@code v = 2^power/√sum}, and 0 where the sum is 0. */
    private void setInverseStd(int j, DoubleDouble sum, int power) {
        int half = Math.getExponent(sum.hi()) >> 1;
        inverseStd[j] =
                sum.hi() == 0 ? DoubleDouble.ZERO : sum.scaled(-2 * half).inverseSqrt();
        inverseStdExponent[j] = power - half;
    }

    /** {@code y = γ·(h − μ)·v + β} for the m rows of h. */
    public void apply(int m, double[] h, double[] gamma, double[] beta, double[] y) {
        Factors factors = new Factors(gamma, new int[columns]);
        double[] u = new double[columns];
        double[] uLow = new double[columns];
        for (int i = 0; i < m; i++) {
            int row = i * columns;
            deviations(h, row, u, uLow);
            factors.multiply(u, uLow);
            factors.scale(u);
            factors.scale(uLow);
            for (int j = 0; j < columns; j++) {
                double sum = beta[j] + u[j];
                y[row + j] = DoubleDouble.rounded(sum, DoubleDouble.sumError(beta[j], u[j], sum) + uLow[j]);
            }
        }
    }

    /**
     * dγ, dβ and dh for the m rows of h and dy.
     *
     * @param dh m×n, or null if it is not wanted
     */
    public void backward(int m, double[] h, double[] gamma, double[] dy, double[] dgamma, double[] dbeta, double[] dh) {
        int[] dyExponent = new int[columns];
        GradientSums sums = new GradientSums(m, h, dy, dyExponent);
        for (int j = 0; j < columns; j++) {
            dyExponent[j] = excess(sums.largest[j]);
        }
        if (Arrays.stream(dyExponent).anyMatch(power -> power != 0)) {
            sums = new GradientSums(m, h, dy, dyExponent);
        }
        for (int j = 0; j < columns; j++) {
            int power = inverseStdExponent[j] + dyExponent[j];
            dgamma[j] = sums.dyU.get(j).times(inverseStd[j]).scaled(power).value(); // (16)
            dbeta[j] = sums.dy.get(j).scaled(dyExponent[j]).value(); // (17)
        }
        if (dh != null) {
            backward(m, h, gamma, dy, dyExponent, sums, dh);
        }
    }

    /** {@code dh = γ·v·(dy − mean(dy) − u·v²·mean(dy·u))} (18). */
    private void backward(
            int m, double[] h, double[] gamma, double[] dy, int[] dyExponent, GradientSums sums, double[] dh) {
        double[] meanDy = new double[columns];
        double[] meanDyLow = new double[columns];
        double[] slope = new double[columns]; // v²·mean(dy·u)
        double[] slopeLow = new double[columns];
        double[] dyScale = new double[columns];
        int[] power = new int[columns];
        for (int j = 0; j < columns; j++) {
            DoubleDouble mean = sums.dy.get(j).dividedBy(m);
            meanDy[j] = mean.hi();
            meanDyLow[j] = mean.lo();
            DoubleDouble v = inverseStd[j];
            DoubleDouble ofU = sums.dyU.get(j).times(v).times(v).dividedBy(m).scaled(2 * inverseStdExponent[j]);
            slope[j] = ofU.hi();
            slopeLow[j] = ofU.lo();
            dyScale[j] = Math.scalb(1.0, -dyExponent[j]);
            power[j] = dyExponent[j] - exponent[j];
        }
        Factors factors = new Factors(gamma, power);
        double[] u = new double[columns];
        double[] uLow = new double[columns];
        for (int i = 0; i < m; i++) {
            int row = i * columns;
            deviations(h, row, u, uLow);
            for (int j = 0; j < columns; j++) {
                double product = u[j] * slope[j];
                double productLow = DoubleDouble.productError(u[j], slope[j], product)
                        + Math.fma(u[j], slopeLow[j], uLow[j] * slope[j]);
                double term = dy[row + j] * dyScale[j];
                double centered = term - meanDy[j];
                double rest = centered - product;
                uLow[j] = DoubleDouble.sumError(term, -meanDy[j], centered)
                        - meanDyLow[j]
                        + (DoubleDouble.sumError(centered, -product, rest) - productLow);
                u[j] = rest;
            }
            factors.multiply(u, uLow);
            factors.scale(u);
            System.arraycopy(u, 0, dh, row, columns);
        }
    }

    /** Σ dy and Σ dy·u, of dy divided by its power of two. */
    private final class GradientSums {
        final CompensatedSums dy = new CompensatedSums(columns);
        final CompensatedSums dyU = new CompensatedSums(columns);
        final double[] largest = new double[columns]; // max |dy|

        GradientSums(int m, double[] h, double[] gradients, int[] dyExponent) {
            double[] u = new double[columns];
            double[] uLow = new double[columns];
            double[] dyScale = new double[columns];
            Arrays.setAll(dyScale, j -> Math.scalb(1.0, -dyExponent[j]));
            double[] term = new double[columns];
            for (int i = 0; i < m; i++) {
                int row = i * columns;
                deviations(h, row, u, uLow);
                for (int j = 0; j < columns; j++) {
                    term[j] = gradients[row + j] * dyScale[j];
                    largest[j] = Math.max(largest[j], Math.abs(term[j]));
                    double product = term[j] * u[j];
                    uLow[j] = Math.fma(term[j], uLow[j], DoubleDouble.productError(term[j], u[j], product));
                    u[j] = product;
                }
                dy.add(term, 0);
                dyU.add(u, uLow);
            }
        }
    }

    /** γ·v of each column: two words of moderate size, and what is left of its power of two as two doubles. */
    private final class Factors {
        private final double[] hi = new double[columns];
        private final double[] lo = new double[columns];
        private final double[] scale = new double[columns];
        private final double[] scaleTwice = new double[columns];

        /** Power is the power of two that the factors have besides. */
        Factors(double[] gamma, int[] power) {
            for (int j = 0; j < columns; j++) {
                int ofGamma = Math.getExponent(gamma[j]);
                int all = power[j] + inverseStdExponent[j] + ofGamma;
                int moderate = clamp(all, MODERATE);
                DoubleDouble product = inverseStd[j]
                        .times(DoubleDouble.of(Math.scalb(gamma[j], -ofGamma)))
                        .scaled(moderate);
                hi[j] = product.hi();
                lo[j] = product.lo();
                int rest = clamp(all - moderate, 2000); // more makes 0 or infinity of any number but 0
                scale[j] = Math.scalb(1.0, rest / 2);
                scaleTwice[j] = Math.scalb(1.0, rest - rest / 2);
            }
        }

        /**
         * Multiplies a row of two-word numbers by the factors without their powers of two; the leading word is
         * rounded.
         */
        void multiply(double[] value, double[] valueLow) {
            for (int j = 0; j < columns; j++) {
                double product = hi[j] * value[j];
                double low = DoubleDouble.productError(hi[j], value[j], product)
                        + Math.fma(hi[j], valueLow[j], lo[j] * value[j]);
                value[j] = DoubleDouble.rounded(product, low);
                valueLow[j] = low - (value[j] - product);
            }
        }

        /** Multiplies a row by the powers of two, in two steps that stay between its size and that of the result. */
        void scale(double[] value) {
            for (int j = 0; j < columns; j++) {
                value[j] = value[j] * scale[j] * scaleTwice[j];
            }
        }

        private static int clamp(int value, int limit) {
            return Math.max(-limit, Math.min(limit, value));
        }
    }

    /** The mean μ of a column (2). */
    private DoubleDouble mean(int column) {
        return DoubleDouble.of(pivot[column])
                .plus(new DoubleDouble(meanHi[column], meanLo[column]))
                .scaled(exponent[column]);
    }

    /** The unbiased variance of a column, N/(N − 1) times that of (3). */
    private DoubleDouble unbiasedVariance(int column) {
        return sumOfSquares[column].dividedBy(rows - 1).scaled(2 * exponent[column]);
    }

    /** The first column whose unbiased variance is beyond the range of double, −1 if there is none. */
    public int overflowingColumn() {
        for (int j = 0; j < columns; j++) {
            if (!Double.isFinite(unbiasedVariance(j).value())) {
                return j;
            }
        }
        return -1;
    }

    /** {@code running = (1 − momentum)·running + momentum·batch} (25), for the batch's mean and unbiased variance. */
    public void moveRunning(double momentum, double[] runningMean, double[] runningVariance) {
        for (int j = 0; j < columns; j++) {
            runningMean[j] = moved(runningMean[j], momentum, mean(j));
            runningVariance[j] = moved(runningVariance[j], momentum, unbiasedVariance(j));
        }
    }

    private static double moved(double running, double momentum, DoubleDouble batch) {
        DoubleDouble kept = DoubleDouble.sum(1, -momentum).times(DoubleDouble.of(running));
        return kept.plus(batch.times(DoubleDouble.of(momentum))).value();
    }

    /** The power of two by which numbers up to the given one have to be divided; 0 for those of moderate size. */
    private static int excess(double largest) {
        int exponent = Math.getExponent(largest);
        return largest == 0 || !Double.isFinite(largest) || Math.abs(exponent) <= MODERATE ? 0 : exponent;
    }
}
