package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * Double-doubles in two arrays, one for each column of a panel. The operations are those of {@link DoubleDouble}, entry
 * by entry, with the same bits wherever all words are finite. Elsewhere a word of the result is NaN or infinite.
 *
 * <p>An operation changes these numbers and returns them, so that a formula is one chain: {@code r = Σd/N} is {@code
 * r.set(sumD).divide(n)}. New arrays would cost more time than the operations do. The loops are small and without
 * branches, so that C2 vectorizes them.
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record DoubleDoubles(double[] hi, double[] lo) {
    static DoubleDoubles zeros(int n) {
        return new DoubleDoubles(new double[n], new double[n]);
    }

    /** Double-doubles whose leading words are the array itself. */
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

    DoubleDoubles set(DoubleDoubles values) {
        System.arraycopy(values.hi, 0, hi, 0, hi.length);
        System.arraycopy(values.lo, 0, lo, 0, lo.length);
        return this;
    }

    /** Takes the doubles of an array from an index on. */
    DoubleDoubles set(double[] values, int from) {
        System.arraycopy(values, from, hi, 0, hi.length);
        Arrays.fill(lo, 0);
        return this;
    }

    DoubleDoubles setZero() {
        Arrays.fill(hi, 0);
        Arrays.fill(lo, 0);
        return this;
    }

    DoubleDoubles copyOfRange(int from, int to) {
        return new DoubleDoubles(Arrays.copyOfRange(hi, from, to), Arrays.copyOfRange(lo, from, to));
    }

    /** Sets the numbers from an index on to a copy of them. */
    void restore(DoubleDoubles copy, int from) {
        System.arraycopy(copy.hi, 0, hi, from, copy.hi.length);
        System.arraycopy(copy.lo, 0, lo, from, copy.lo.length);
    }

    /** Makes double-doubles of sums and their collected errors. */
    void carry() {
        for (int j = 0; j < hi.length; j++) {
            double sum = hi[j] + lo[j];
            lo[j] -= sum - hi[j];
            hi[j] = sum;
        }
    }

    DoubleDoubles add(DoubleDoubles terms) {
        for (int j = 0; j < hi.length; j++) {
            double high = hi[j] + terms.hi[j];
            double low = DoubleDouble.sumError(hi[j], terms.hi[j], high) + (lo[j] + terms.lo[j]);
            double sum = high + low;
            hi[j] = sum;
            lo[j] = low - (sum - high);
        }
        return this;
    }

    /** Adds one double to each number. */
    DoubleDoubles add(double term) {
        for (int j = 0; j < hi.length; j++) {
            double high = hi[j] + term;
            double low = DoubleDouble.sumError(hi[j], term, high) + lo[j];
            double sum = high + low;
            hi[j] = sum;
            lo[j] = low - (sum - high);
        }
        return this;
    }

    /** Subtracts {@code a·b}, which is formed in two words. */
    DoubleDoubles subtractProduct(DoubleDoubles a, DoubleDoubles b) {
        for (int j = 0; j < hi.length; j++) {
            double product = a.hi[j] * b.hi[j];
            double error = DoubleDouble.productError(a.hi[j], b.hi[j], product)
                    + Math.fma(a.hi[j], b.lo[j], a.lo[j] * b.hi[j]);
            double term = product + error;
            double termLow = error - (term - product);
            double high = hi[j] - term;
            double low = DoubleDouble.sumError(hi[j], -term, high) + (lo[j] - termLow);
            double sum = high + low;
            hi[j] = sum;
            lo[j] = low - (sum - high);
        }
        return this;
    }

    DoubleDoubles multiply(DoubleDoubles factors) {
        for (int j = 0; j < hi.length; j++) {
            double product = hi[j] * factors.hi[j];
            double error = DoubleDouble.productError(hi[j], factors.hi[j], product)
                    + Math.fma(hi[j], factors.lo[j], lo[j] * factors.hi[j]);
            double sum = product + error;
            hi[j] = sum;
            lo[j] = error - (sum - product);
        }
        return this;
    }

    /** Multiplies each number by the same one. */
    DoubleDoubles multiply(DoubleDouble factor) {
        double high = factor.hi();
        double low = factor.lo();
        for (int j = 0; j < hi.length; j++) {
            double product = hi[j] * high;
            double error = DoubleDouble.productError(hi[j], high, product) + Math.fma(hi[j], low, lo[j] * high);
            double sum = product + error;
            hi[j] = sum;
            lo[j] = error - (sum - product);
        }
        return this;
    }

    DoubleDoubles divide(double divisor) {
        for (int j = 0; j < hi.length; j++) {
            double quotient = hi[j] / divisor;
            double error = (Math.fma(-quotient, divisor, hi[j]) + lo[j]) / divisor;
            double sum = quotient + error;
            hi[j] = sum;
            lo[j] = error - (sum - quotient);
        }
        return this;
    }

    /** {@code 1/√this} for numbers of moderate size above 0. */
    DoubleDoubles inverseSqrt() {
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
            hi[j] = sum;
            lo[j] = correction - (sum - x);
        }
        return this;
    }

    /**
     * Takes the given numbers plus an anchor each: three times the sum of the number's magnitude and the bound on what
     * will be added. All later sums are then within a factor of two of each other and of the anchor. So differences of
     * them are exact (Sterbenz), and the error of {@code s' = s + t} is {@code t − (s' − s)} (Dekker's Fast2Sum).
     *
     * @param bounds bounds on what will be added to each number
     * @param anchors receives the anchors
     */
    void setAnchored(DoubleDoubles numbers, double[] bounds, double[] anchors) {
        for (int j = 0; j < hi.length; j++) {
            double number = numbers.hi[j];
            double anchor = 3 * (Math.abs(number) + bounds[j]);
            double sum = anchor + number;
            lo[j] = numbers.lo[j] + (number - (sum - anchor));
            hi[j] = sum;
            anchors[j] = anchor;
        }
    }

    /** Writes each number, rounded to a double, into an array from an index on. */
    void round(double[] to, int at) {
        for (int j = 0; j < hi.length; j++) {
            to[at + j] = hi[j] + lo[j];
        }
    }
}
