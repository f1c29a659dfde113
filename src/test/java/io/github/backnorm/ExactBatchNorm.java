package io.github.backnorm;

import java.math.BigDecimal;
import java.math.MathContext;

/**
 * Batch normalization of one column in decimal arithmetic: (2) to (5), (16) to (18), (25) and (26) of
 * docs/derivation.md. The given doubles are taken as exact.
 *
 * <p>Sums of doubles are exact, and so is N·(h − μ). What follows from them is rounded to {@link #PRECISION}. The
 * library's algorithm is not used here.
 */
final class ExactBatchNorm {
    /**
     * 80 digits. Let S be the sum of the magnitudes of a result's terms. Rounding costs some 10⁻⁸⁰·S here, and the
     * bound under test is at least N²·2⁻⁹⁶·S ≥ 10⁻²⁹·S.
     */
    static final MathContext PRECISION = new MathContext(80);

    private final BigDecimal[] h;
    private final BigDecimal[] u; // h − μ
    private final BigDecimal[] xHat;
    private final BigDecimal n;
    private final BigDecimal mean;
    private final BigDecimal variance;
    private final BigDecimal inverseStd; // v, and 0 where σ² + ε is 0
    private final BigDecimal spread; // σ·v

    ExactBatchNorm(double[] h, double epsilon) {
        this.h = decimals(h);
        this.n = BigDecimal.valueOf(h.length);
        BigDecimal sum = sumOf(this.h);
        this.mean = quotient(sum, n); // (2)
        this.u = new BigDecimal[h.length];
        BigDecimal sumOfSquares = BigDecimal.ZERO;
        for (int k = 0; k < h.length; k++) {
            u[k] = quotient(this.h[k].multiply(n).subtract(sum), n); // exactly 0 for each entry of a constant column
            sumOfSquares = sum(sumOfSquares, product(u[k], u[k]));
        }
        this.variance = quotient(sumOfSquares, n); // (3)
        this.inverseStd = inverseRoot(variance.add(new BigDecimal(epsilon), PRECISION));
        this.spread = product(variance.sqrt(Value.SIZE), inverseStd);
        this.xHat = new BigDecimal[h.length];
        for (int k = 0; k < h.length; k++) {
            xHat[k] = product(u[k], inverseStd); // (4)
        }
    }

    /** The gradients, for one dy and one γ. */
    @SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
    record Gradients(Value dgamma, Value dbeta, Value[] dh) {}

    Value mean() {
        BigDecimal n = BigDecimal.valueOf(h.length);
        return Value.of(quotient(sumOf(h), n), quotient(sizeOf(h), n));
    }

    /** The variance with divisor N − 1. It is a sum of squares, so it is its own size. */
    Value unbiasedVariance() {
        return Value.of(unbiased(), unbiased());
    }

    /** Running mean (25). */
    Value runningMean(double old, double momentum) {
        BigDecimal kept = kept(old, momentum);
        BigDecimal m = new BigDecimal(momentum);
        return Value.of(sum(kept, product(m, mean)), sum(kept.abs(), product(m, quotient(sizeOf(h), n))));
    }

    /** Running variance (25). */
    Value runningVariance(double old, double momentum) {
        BigDecimal moved = sum(kept(old, momentum), product(new BigDecimal(momentum), unbiased()));
        return Value.of(moved, moved);
    }

    /** y (5). */
    Value[] y(double gamma, double beta) {
        Value[] y = new Value[u.length];
        BigDecimal g = new BigDecimal(gamma);
        BigDecimal b = new BigDecimal(beta);
        for (int k = 0; k < y.length; k++) {
            BigDecimal size = sum(product(g, sum(xHat[k].abs(), spread)).abs(), b.abs());
            y[k] = Value.of(product(g, xHat[k]).add(b), size); // exactly β where ĥ is 0
        }
        return y;
    }

    /** dγ (16), dβ (17) and dh (18). */
    Gradients gradients(double gamma, double... dy) {
        BigDecimal[] term = decimals(dy);
        BigDecimal sum = sumOf(term);
        BigDecimal dgamma = BigDecimal.ZERO;
        BigDecimal dgammaSize = BigDecimal.ZERO;
        BigDecimal sumOfSquares = BigDecimal.ZERO;
        for (int k = 0; k < dy.length; k++) {
            dgamma = sum(dgamma, product(term[k], xHat[k]));
            dgammaSize = size(
                    dgammaSize,
                    size(term[k]).multiply(size(xHat[k].abs(), spread)).abs());
            sumOfSquares = size(sumOfSquares, size(term[k]).pow(2, Value.SIZE));
        }
        BigDecimal slope = quotient(dgamma, n);
        BigDecimal rms = quotient(sumOfSquares, n).sqrt(Value.SIZE);
        BigDecimal factor = product(new BigDecimal(gamma), inverseStd);
        Value[] dh = new Value[dy.length];
        for (int k = 0; k < dh.length; k++) {
            BigDecimal centered = quotient(term[k].multiply(n).subtract(sum), n);
            BigDecimal rest = centered.subtract(product(xHat[k], slope), PRECISION);
            BigDecimal size = size(term[k].abs(), rms.multiply(size(BigDecimal.ONE, xHat[k].abs())));
            dh[k] = Value.of(product(factor, rest), size.multiply(factor.abs()));
        }
        return new Gradients(Value.of(dgamma, dgammaSize), sum(dy), dh);
    }

    /** y (26), normalized with given statistics. It contains no sum over the column, so its size has no term σ·v. */
    static Value[] inferred(double[] h, double mean, double variance, double epsilon, double gamma, double beta) {
        BigDecimal v = inverseRoot(new BigDecimal(variance).add(new BigDecimal(epsilon)));
        BigDecimal factor = product(new BigDecimal(gamma), v);
        BigDecimal mu = new BigDecimal(mean);
        BigDecimal b = new BigDecimal(beta);
        Value[] y = new Value[h.length];
        for (int k = 0; k < h.length; k++) {
            BigDecimal scaled = product(factor, new BigDecimal(h[k]).subtract(mu));
            y[k] = Value.of(scaled.add(b), sum(scaled.abs(), b.abs()));
        }
        return y;
    }

    static Value sum(double... terms) {
        BigDecimal[] a = decimals(terms);
        return Value.of(sumOf(a), sizeOf(a));
    }

    /**
     * A real number z in two words, and its size S. The words hold z up to a relative error of 10⁻³¹. The first is
     * infinite if z is beyond the range of double. S is the one of docs/numerics.md: the sum of the magnitudes of the
     * terms of z. It is at most the largest double.
     */
    record Value(double hi, double lo, double size) {
        /** Sizes are good to 15 digits. */
        private static final MathContext SIZE = MathContext.DECIMAL64;

        private static Value of(BigDecimal z, BigDecimal size) {
            double near = z.round(SIZE).doubleValue();
            double hi = Double.isFinite(near) ? near : z.doubleValue();
            double s = Math.min(size.round(SIZE).doubleValue(), Double.MAX_VALUE);
            if (!Double.isFinite(hi)) {
                return new Value(hi, 0, s);
            }
            double rest = z.subtract(new BigDecimal(hi)).round(SIZE).doubleValue();
            double sum = hi + rest;
            return new Value(sum, rest - (sum - hi), s);
        }

        /** |computed − z|, infinite for a NaN. */
        double error(double computed) {
            double error = Math.abs((computed - hi) - lo);
            return Double.isNaN(error) ? Double.POSITIVE_INFINITY : error;
        }

        /** The distance between the doubles around z. Just below a power of two it is that of the smaller doubles. */
        double ulp() {
            double above = Math.ulp(hi);
            double below = Math.abs(hi) - Math.nextDown(Math.abs(hi));
            return hi != 0 && Math.signum(lo) == -Math.signum(hi) ? below : above;
        }
    }

    private BigDecimal unbiased() {
        return quotient(product(variance, n), n.subtract(BigDecimal.ONE));
    }

    private static BigDecimal kept(double old, double momentum) {
        return product(BigDecimal.ONE.subtract(new BigDecimal(momentum)), new BigDecimal(old));
    }

    private static BigDecimal inverseRoot(BigDecimal a) {
        return a.signum() == 0 ? a : BigDecimal.ONE.divide(a.sqrt(PRECISION), PRECISION);
    }

    private static BigDecimal[] decimals(double[] a) {
        BigDecimal[] decimals = new BigDecimal[a.length];
        for (int k = 0; k < a.length; k++) {
            decimals[k] = new BigDecimal(a[k]);
        }
        return decimals;
    }

    /** The exact sum. */
    private static BigDecimal sumOf(BigDecimal[] a) {
        BigDecimal sum = BigDecimal.ZERO;
        for (BigDecimal term : a) {
            sum = sum.add(term);
        }
        return sum;
    }

    private static BigDecimal sizeOf(BigDecimal[] a) {
        BigDecimal sum = BigDecimal.ZERO;
        for (BigDecimal term : a) {
            sum = size(sum, term.abs());
        }
        return sum;
    }

    private static BigDecimal size(BigDecimal a) {
        return a.round(Value.SIZE);
    }

    private static BigDecimal size(BigDecimal a, BigDecimal b) {
        return a.add(b, Value.SIZE);
    }

    private static BigDecimal sum(BigDecimal a, BigDecimal b) {
        return a.add(b, PRECISION);
    }

    private static BigDecimal product(BigDecimal a, BigDecimal b) {
        return a.multiply(b, PRECISION);
    }

    private static BigDecimal quotient(BigDecimal a, BigDecimal b) {
        return a.divide(b, PRECISION);
    }
}
