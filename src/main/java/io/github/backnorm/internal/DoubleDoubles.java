package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * As many double-doubles as a panel has columns, in two arrays: {@link DoubleDouble}'s operations entry by entry, with
 * its bits wherever all words are finite. Entries that are not are NaN or infinite in either word.
 *
 * <p>The loops are small and without branches, so that C2 vectorizes them. Operations return new arrays and change
 * none; only the kernels write into the words of a sum.
 */
@SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
record DoubleDoubles(double[] hi, double[] lo) {
    static DoubleDoubles zeros(int n) {
        return new DoubleDoubles(new double[n], new double[n]);
    }

    static DoubleDoubles of(double[] values) {
        return new DoubleDoubles(values, new double[values.length]);
    }

    /** The same number n times. */
    static DoubleDoubles filled(int n, DoubleDouble value) {
        DoubleDoubles all = zeros(n);
        Arrays.fill(all.hi, value.hi());
        Arrays.fill(all.lo, value.lo());
        return all;
    }

    DoubleDouble get(int index) {
        return new DoubleDouble(hi[index], lo[index]);
    }

    DoubleDoubles negated() {
        DoubleDoubles c = zeros(hi.length);
        for (int j = 0; j < hi.length; j++) {
            c.hi[j] = -hi[j];
            c.lo[j] = -lo[j];
        }
        return c;
    }

    DoubleDoubles plus(DoubleDoubles other) {
        int n = hi.length;
        DoubleDoubles high = sum(hi, other.hi);
        DoubleDoubles low = sum(lo, other.lo);
        DoubleDoubles c = zeros(n);
        for (int j = 0; j < n; j++) {
            double carry = high.lo[j] + low.hi[j];
            double carried = high.hi[j] + carry;
            double rest = (carry - (carried - high.hi[j])) + low.lo[j];
            double sum = carried + rest;
            c.hi[j] = sum;
            c.lo[j] = rest - (sum - carried);
        }
        return c;
    }

    /** {@code a + b}, exactly. */
    private static DoubleDoubles sum(double[] a, double[] b) {
        DoubleDoubles c = zeros(a.length);
        for (int j = 0; j < a.length; j++) {
            double sum = a[j] + b[j];
            c.hi[j] = sum;
            c.lo[j] = DoubleDouble.sumError(a[j], b[j], sum);
        }
        return c;
    }

    DoubleDoubles minus(DoubleDoubles other) {
        return plus(other.negated());
    }

    DoubleDoubles times(DoubleDoubles other) {
        DoubleDoubles c = zeros(hi.length);
        for (int j = 0; j < hi.length; j++) {
            double product = hi[j] * other.hi[j];
            double error = DoubleDouble.productError(hi[j], other.hi[j], product)
                    + Math.fma(hi[j], other.lo[j], lo[j] * other.hi[j]);
            double sum = product + error;
            c.hi[j] = sum;
            c.lo[j] = error - (sum - product);
        }
        return c;
    }

    DoubleDoubles dividedBy(double divisor) {
        DoubleDoubles c = zeros(hi.length);
        for (int j = 0; j < hi.length; j++) {
            double quotient = hi[j] / divisor;
            double error = (Math.fma(-quotient, divisor, hi[j]) + lo[j]) / divisor;
            double sum = quotient + error;
            c.hi[j] = sum;
            c.lo[j] = error - (sum - quotient);
        }
        return c;
    }

    /** {@code 1/√this} for numbers of moderate size above 0. */
    DoubleDoubles inverseSqrt() {
        int n = hi.length;
        double[] x = new double[n];
        DoubleDoubles square = zeros(n);
        for (int j = 0; j < n; j++) {
            x[j] = 1 / Math.sqrt(hi[j]);
            square.hi[j] = x[j] * x[j];
            square.lo[j] = DoubleDouble.productError(x[j], x[j], square.hi[j]);
        }
        DoubleDoubles nearOne = times(square);
        DoubleDoubles c = zeros(n);
        for (int j = 0; j < n; j++) {
            double correction = 0.5 * x[j] * ((1 - nearOne.hi[j]) - nearOne.lo[j]);
            double sum = x[j] + correction;
            c.hi[j] = sum;
            c.lo[j] = correction - (sum - x[j]);
        }
        return c;
    }

    /** Each one rounded to a double. */
    double[] values() {
        double[] values = new double[hi.length];
        for (int j = 0; j < hi.length; j++) {
            values[j] = hi[j] + lo[j];
        }
        return values;
    }
}
