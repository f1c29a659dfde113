package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * As many double-doubles as a panel has columns, in two arrays: {@link DoubleDouble}'s operations entry by entry, with
 * its bits wherever all words are finite. Where they are not, a result is NaN or infinite in either word.
 *
 * <p>The loops are small and without branches, so that C2 vectorizes them. An operation writes into what it is given
 * last, which may be an operand, and returns it: fresh arrays cost more time than the operation does.
 */
@SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
record DoubleDoubles(double[] hi, double[] lo) {
    static DoubleDoubles zeros(int n) {
        return new DoubleDoubles(new double[n], new double[n]);
    }

    /** Over the array itself. */
    static DoubleDoubles wrap(double[] values) {
        return new DoubleDoubles(values, new double[values.length]);
    }

    DoubleDouble get(int index) {
        return new DoubleDouble(hi[index], lo[index]);
    }

    void set(int index, DoubleDouble value) {
        hi[index] = value.hi();
        lo[index] = value.lo();
    }

    DoubleDoubles copyOfRange(int from, int to) {
        return new DoubleDoubles(Arrays.copyOfRange(hi, from, to), Arrays.copyOfRange(lo, from, to));
    }

    /** Copies the last ones over the last ones of another. */
    void copyLast(int count, DoubleDoubles to) {
        System.arraycopy(hi, hi.length - count, to.hi, to.hi.length - count, count);
        System.arraycopy(lo, lo.length - count, to.lo, to.lo.length - count, count);
    }

    DoubleDoubles fill(DoubleDouble value) {
        Arrays.fill(hi, value.hi());
        Arrays.fill(lo, value.lo());
        return this;
    }

    /** Makes them doubles, from consecutive entries of an array. */
    DoubleDoubles fill(double[] values, int from) {
        System.arraycopy(values, from, hi, 0, hi.length);
        Arrays.fill(lo, 0);
        return this;
    }

    /** Makes sums and the sums of their errors, which may have grown, double-doubles again. */
    void carry() {
        for (int j = 0; j < hi.length; j++) {
            double sum = hi[j] + lo[j];
            lo[j] -= sum - hi[j];
            hi[j] = sum;
        }
    }

    /**
     * Adds an anchor to each number: three times the magnitude of the number and the bound on what will be added to it.
     * The anchors take the place of the bounds. Then all sums are within a factor of two of each other and of the
     * anchor, so that their differences are exact (Sterbenz), and an addition's rounding error is its second term less
     * what the sum has changed by (Dekker's Fast2Sum).
     */
    double[] anchor(double[] bound) {
        for (int j = 0; j < hi.length; j++) {
            double anchor = 3 * (Math.abs(hi[j]) + bound[j]);
            double sum = anchor + hi[j];
            lo[j] += hi[j] - (sum - anchor);
            hi[j] = sum;
            bound[j] = anchor;
        }
        return bound;
    }

    DoubleDoubles plus(DoubleDoubles other, DoubleDoubles to) {
        return plus(1, other, to);
    }

    DoubleDoubles minus(DoubleDoubles other, DoubleDoubles to) {
        return plus(-1, other, to);
    }

    private DoubleDoubles plus(double sign, DoubleDoubles other, DoubleDoubles to) {
        for (int j = 0; j < hi.length; j++) {
            double term = sign * other.hi[j];
            double high = hi[j] + term;
            double low = DoubleDouble.sumError(hi[j], term, high) + (lo[j] + sign * other.lo[j]);
            double sum = high + low;
            to.hi[j] = sum;
            to.lo[j] = low - (sum - high);
        }
        return to;
    }

    DoubleDoubles times(DoubleDoubles other, DoubleDoubles to) {
        for (int j = 0; j < hi.length; j++) {
            double product = hi[j] * other.hi[j];
            double error = DoubleDouble.productError(hi[j], other.hi[j], product)
                    + Math.fma(hi[j], other.lo[j], lo[j] * other.hi[j]);
            double sum = product + error;
            to.hi[j] = sum;
            to.lo[j] = error - (sum - product);
        }
        return to;
    }

    DoubleDoubles dividedBy(double divisor, DoubleDoubles to) {
        for (int j = 0; j < hi.length; j++) {
            double quotient = hi[j] / divisor;
            double error = (Math.fma(-quotient, divisor, hi[j]) + lo[j]) / divisor;
            double sum = quotient + error;
            to.hi[j] = sum;
            to.lo[j] = error - (sum - quotient);
        }
        return to;
    }

    /** {@code 1/√this} for numbers of moderate size above 0. */
    DoubleDoubles inverseSqrt(DoubleDoubles to) {
        for (int j = 0; j < hi.length; j++) {
            double x = 1 / Math.sqrt(hi[j]);
            double square = x * x;
            double squareLow = DoubleDouble.productError(x, x, square);
            double product = hi[j] * square;
            double error =
                    DoubleDouble.productError(hi[j], square, product) + Math.fma(hi[j], squareLow, lo[j] * square);
            double nearOne = product + error;
            double nearOneLow = error - (nearOne - product);
            double correction = 0.5 * x * ((1 - nearOne) - nearOneLow);
            double sum = x + correction;
            to.hi[j] = sum;
            to.lo[j] = correction - (sum - x);
        }
        return to;
    }

    /** Writes each one, rounded to a double, into consecutive entries of an array. */
    void values(double[] to, int at) {
        for (int j = 0; j < hi.length; j++) {
            to[at + j] = hi[j] + lo[j];
        }
    }
}
