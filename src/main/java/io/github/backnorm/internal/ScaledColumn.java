package io.github.backnorm.internal;

import java.util.Optional;

/**
 * Batch norm of one column of any scale: what {@link Panel} computes, for the columns that would overflow or underflow
 * there. The pivot c is the first entry here, and {@code d = h − c} is two words, exactly.
 *
 * <p>A column whose spread is outside 2^±400 is divided by a power of two, so that squares and their errors neither
 * overflow nor underflow. So is dy. v and factors such as γ·v are numbers of moderate size times powers of two, which
 * are applied last.
 *
 * <p>An error word that has overflowed is NaN. The result is then the leading word, which is the formula in plain
 * arithmetic. A dy that is not finite has no errors to carry, so its column is computed in plain arithmetic.
 *
 * <p>Sums are formed in blocks of rows, for the reason that {@link Quantities#BLOCK} gives.
 */
final class ScaledColumn {
    /** Numbers up to 2^±400 can be squared with all the error terms. */
    private static final int MODERATE = 400;

    /** Means below this, a quarter ulp of the largest double, cannot make h − μ overflow. */
    private static final double LARGE_MEAN = 0x1p969;

    /** The exponent of a power of two above any number of rows. */
    private static final int REDUCTION = 32;

    private final double[] h; // empty where mean and variance are given
    /** Exponent of the power of two that the column is divided by; the fields below are those of the scaled column. */
    private final int exponent;

    private final double scale; // 2^−exponent
    private final double pivot; // c
    private final DoubleDouble r; // mean(d)
    private final DoubleDouble sumUSquare; // Σ u²
    private final DoubleDouble v; // without its power of two: from ½ to 1, or more for a subnormal σ² + ε
    private final int exponentOfV;

    /** The result of {@link #backward(double[], double)}. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Gradients(double dgamma, double dbeta, double[] dh) {}

    /** By the statistics of the column h itself. If one of its entries is not finite, nor is its variance. */
    ScaledColumn(double[] h, double epsilon) {
        double spread = 0;
        for (double entry : h) {
            spread = Math.max(spread, Math.abs(entry - h[0]));
        }
        this.h = h;
        this.exponent = excess(spread);
        this.scale = Math.scalb(1.0, -exponent);
        this.pivot = h[0] * scale;
        Sum sum = new Sum();
        Sum squares = new Sum();
        for (double entry : h) {
            DoubleDouble d = deviation(entry);
            sum.add(d.hi(), d.lo());
            double square = d.hi() * d.hi();
            squares.add(square, Math.fma(2 * d.hi(), d.lo(), DoubleDouble.productError(d.hi(), d.hi(), square)));
        }
        DoubleDouble sumD = sum.finish();
        this.r = sumD.dividedBy(h.length);
        this.sumUSquare = squares.finish().plus(r.times(sumD).negated());
        DoubleDouble variance = sumUSquare.dividedBy(h.length);
        int power = -2 * exponent;
        boolean onlyEpsilon = power != 0 && epsilon > 0 && Math.getExponent(epsilon) + power > MODERATE;
        // The scaled variance is at most 4. A far larger scaled ε is taken alone, and unscaled, since it may overflow.
        DoubleDouble inside =
                onlyEpsilon ? DoubleDouble.of(epsilon) : variance.plus(DoubleDouble.of(Math.scalb(epsilon, power)));
        this.v = inverseStd(inside);
        this.exponentOfV = (onlyEpsilon ? exponent : 0) - halfExponent(inside);
    }

    /** By a given mean and variance. */
    ScaledColumn(double mean, double variance, double epsilon) {
        this.h = new double[0];
        this.exponent = Math.abs(mean) < LARGE_MEAN ? 0 : 2;
        this.scale = Math.scalb(1.0, -exponent);
        this.pivot = mean * scale;
        this.r = DoubleDouble.ZERO;
        this.sumUSquare = DoubleDouble.ZERO;
        // The variance is not scaled with the column: it may be any double
        int power = Math.max(variance, epsilon) >= 0x1p1023 ? -2 : 0;
        DoubleDouble inside = DoubleDouble.sum(Math.scalb(variance, power), Math.scalb(epsilon, power));
        this.v = inverseStd(inside);
        this.exponentOfV = exponent + power / 2 - halfExponent(inside);
    }

    /** {@code 1/√inside} (9) without its power of two, and 0 for 0. */
    private static DoubleDouble inverseStd(DoubleDouble inside) {
        return inside.hi() == 0
                ? DoubleDouble.ZERO
                : inside.scaled(-2 * halfExponent(inside)).inverseSqrt();
    }

    private static int halfExponent(DoubleDouble number) {
        return Math.getExponent(number.hi()) >> 1;
    }

    /** {@code d = h − c}, exactly. */
    private DoubleDouble deviation(double entry) {
        double scaled = entry * scale;
        double d = scaled - pivot;
        return new DoubleDouble(d, DoubleDouble.sumError(scaled, -pivot, d));
    }

    /** {@code y = max(γ·(h − μ)·v + β, least)} of the column. */
    double[] forward(double gamma, double beta, double least) {
        double[] y = new double[h.length];
        for (int i = 0; i < h.length; i++) {
            y[i] = Math.max(apply(h[i], gamma, beta), least);
        }
        return y;
    }

    /** {@code y = γ·(h − μ)·v + β} of one entry. */
    double apply(double entry, double gamma, double beta) {
        if (Double.isInfinite(gamma)) { // in plain arithmetic: with r = 0, γ·v·r would be NaN
            return gamma * ((deviation(entry).hi() - r.hi()) * v.hi()) + beta;
        }
        double y = apply(entry, new Factor(gamma, 0), beta);
        if (Double.isFinite(y)) {
            return y;
        }
        // γ·v·d and γ·v·r may overflow where their difference does not: they may be up to N times larger
        double reduced = apply(entry, new Factor(gamma, -REDUCTION), Math.scalb(beta, -REDUCTION));
        return Math.scalb(reduced, REDUCTION);
    }

    /** γ·v as two words, if it and the column are of moderate size. */
    Optional<DoubleDouble> moderateFactor(double gamma) {
        Factor factor = new Factor(gamma, 0);
        boolean moderate = exponent == 0 && factor.secondScale == 1; // then the first scale is 1, too
        return moderate ? Optional.of(factor.number) : Optional.empty();
    }

    private double apply(double entry, Factor factor, double beta) {
        DoubleDouble remainder = factor.number.times(r);
        DoubleDouble offset = DoubleDouble.of(beta)
                .plus(new DoubleDouble(factor.scaled(-remainder.hi()), factor.scaled(-remainder.lo())));
        DoubleDouble d = deviation(entry);
        double product = factor.number.hi() * d.hi();
        double low = factor.scaled(productLow(factor.number, d.hi(), d.lo(), product));
        product = factor.scaled(product);
        double sum = offset.hi() + product;
        return DoubleDouble.rounded(sum, DoubleDouble.sumError(offset.hi(), product, sum) + (offset.lo() + low));
    }

    /** The low word of a·(b + bLow), where product is a.hi·b as rounded. */
    private static double productLow(DoubleDouble a, double b, double bLow, double product) {
        return Math.fma(a.hi(), bLow, Math.fma(a.lo(), b, DoubleDouble.productError(a.hi(), b, product)));
    }

    /** dγ, dβ and dh of the column. */
    Gradients backward(double[] dy, double gamma) {
        double largest = 0;
        for (double entry : dy) {
            largest = Math.max(largest, Math.abs(entry));
        }
        return Double.isFinite(largest) ? backward(dy, gamma, excess(largest)) : backwardPlain(dy, gamma);
    }

    private Gradients backward(double[] dy, double gamma, int exponentOfDy) {
        int m = h.length;
        double scaleOfDy = Math.scalb(1.0, -exponentOfDy);
        Sum dySum = new Sum();
        Sum dyDSum = new Sum();
        for (int i = 0; i < m; i++) {
            DoubleDouble d = deviation(h[i]);
            double term = dy[i] * scaleOfDy;
            dySum.add(term, 0);
            double product = d.hi() * term;
            dyDSum.add(product, Math.fma(term, d.lo(), DoubleDouble.productError(d.hi(), term, product)));
        }
        DoubleDouble sumDy = dySum.finish();
        DoubleDouble dyU = dyDSum.finish().plus(r.times(sumDy).negated()); // Σ dy·u
        double dgamma = dyU.times(v).scaled(exponentOfV + exponentOfDy).value(); // (16)
        double dbeta = sumDy.scaled(exponentOfDy).value(); // (17)
        DoubleDouble lambda = dyU.times(v).times(v).dividedBy(m).scaled(2 * exponentOfV); // v²·(Σ dy·u)/N
        DoubleDouble offset = sumDy.dividedBy(m).plus(lambda.times(r).negated());
        Factor factor = new Factor(gamma, exponentOfDy - exponent);
        double[] dh = new double[m];
        for (int i = 0; i < m; i++) {
            DoubleDouble d = deviation(h[i]);
            double term = dy[i] * scaleOfDy;
            double product = lambda.hi() * d.hi();
            double productLow = productLow(lambda, d.hi(), d.lo(), product);
            double centered = term - offset.hi();
            double rest = centered - product;
            double restLow = DoubleDouble.sumError(term, -offset.hi(), centered)
                    + DoubleDouble.sumError(centered, -product, rest)
                    - (productLow + offset.lo());
            double result = factor.number.hi() * rest;
            double low = productLow(factor.number, rest, restLow, result);
            dh[i] = factor.scaled(DoubleDouble.rounded(result, low)); // (18)
        }
        return new Gradients(dgamma, dbeta, dh);
    }

    /** The same where dy has NaN or ±Infinity: Σdy and Σdy·u are not finite, so positive factors do not matter. */
    private Gradients backwardPlain(double[] dy, double gamma) {
        int m = h.length;
        double sumDy = 0;
        double dyU = 0;
        for (int i = 0; i < m; i++) {
            sumDy += dy[i];
            dyU += dy[i] * plainU(i);
        }
        double[] dh = new double[m];
        for (int i = 0; i < m; i++) {
            dh[i] = gamma * (dy[i] - sumDy - plainU(i) * dyU);
        }
        return new Gradients(dyU, sumDy, dh);
    }

    private double plainU(int i) {
        return deviation(h[i]).hi() - r.hi();
    }

    /** A factor γ·v·2^power: two words of moderate size, and the rest of its power of two as two doubles. */
    private final class Factor {
        private final DoubleDouble number;
        private final double scale;
        private final double secondScale;

        Factor(double gamma, int power) {
            int ofGamma = gamma == 0 ? 0 : Math.getExponent(gamma);
            int all = power + exponentOfV + ofGamma;
            int moderate = clamp(all, MODERATE);
            number = v.times(DoubleDouble.of(Math.scalb(gamma, -ofGamma))).scaled(moderate);
            int rest = clamp(all - moderate, 2000); // beyond it, any number becomes 0 or infinite
            scale = Math.scalb(1.0, rest / 2);
            secondScale = Math.scalb(1.0, rest - rest / 2);
        }

        /** Multiplied by the rest of the power, in two steps: the first result lies between the number and the last. */
        double scaled(double value) {
            return value * scale * secondScale;
        }

        private static int clamp(int value, int limit) {
            return Math.max(-limit, Math.min(limit, value));
        }
    }

    /** A sum of terms of two words. */
    private static final class Sum {
        private double sum;
        private double error;
        private int terms;

        void add(double term, double low) {
            double next = sum + term;
            error += DoubleDouble.sumError(sum, term, next) + low;
            sum = next;
            terms++;
            if (terms % Quantities.BLOCK == 0) {
                carry();
            }
        }

        private void carry() {
            double next = sum + error;
            error -= next - sum;
            sum = next;
        }

        DoubleDouble finish() {
            carry();
            return new DoubleDouble(sum, error);
        }
    }

    /** The mean μ (2). */
    DoubleDouble mean() {
        return DoubleDouble.of(pivot).plus(r).scaled(exponent);
    }

    /** The unbiased variance, N/(N − 1) times that of (3). */
    DoubleDouble unbiasedVariance() {
        return sumUSquare.dividedBy(h.length - 1).scaled(2 * exponent);
    }

    /** The running statistic (25) that follows a given one. */
    static double moved(double momentum, double running, DoubleDouble batch) {
        DoubleDouble kept = DoubleDouble.sum(1, -momentum).times(DoubleDouble.of(running));
        return kept.plus(batch.times(DoubleDouble.of(momentum))).value();
    }

    /** The exponent of the power of two by which numbers up to the given one are divided; 0 for moderate sizes. */
    private static int excess(double largest) {
        int exponent = Math.getExponent(largest);
        return largest == 0 || !Double.isFinite(largest) || Math.abs(exponent) <= MODERATE ? 0 : exponent;
    }
}
