package io.github.backnorm.internal;

/**
 * Sums of columns in two words each: the rounding error of an addition is not lost but goes into the second word.
 *
 * <p>After n additions of terms t + l (l being the low word of the term, or 0), the two words are within {@code
 * 11·u·(n·u·Σ|t| + Σ|l|)} of the exact sum, {@code u = 2⁻⁵³}, in whatever order the terms come: each addition rounds
 * only numbers of the size of the second word. The proof is in {@code docs/numerics.md}. The addition is the "sloppy"
 * one of Joldes, Muller and Popescu (2017, Algorithm 5), whose error is small beside the terms though not beside a
 * sum that has cancelled.
 *
 * <p>A sum that is not finite is that of plain additions.
 */
final class CompensatedSums {
    private final double[] sum;
    private final double[] error;

    CompensatedSums(int columns) {
        sum = new double[columns];
        error = new double[columns];
    }

    /** Adds a row, {@code terms[from]} and on, one term to each sum. */
    void add(double[] terms, int from) {
        for (int j = 0; j < sum.length; j++) {
            double old = sum[j];
            double term = terms[from + j];
            double plain = old + term;
            double low = DoubleDouble.sumError(old, term, plain) + error[j];
            sum[j] = DoubleDouble.rounded(plain, low);
            error[j] = low - (sum[j] - plain);
        }
    }

    /** Adds a row of terms that are two words each. */
    void add(double[] terms, double[] lowWords) {
        for (int j = 0; j < sum.length; j++) {
            double old = sum[j];
            double term = terms[j];
            double plain = old + term;
            double low = DoubleDouble.sumError(old, term, plain) + (error[j] + lowWords[j]);
            sum[j] = DoubleDouble.rounded(plain, low);
            error[j] = low - (sum[j] - plain);
        }
    }

    /** The sum of consecutive terms. */
    static double sum(double[] terms, int from, int to) {
        CompensatedSums sums = new CompensatedSums(1);
        for (int i = from; i < to; i++) {
            sums.add(terms, i);
        }
        return sums.value(0);
    }

    DoubleDouble get(int column) {
        return Double.isFinite(sum[column])
                ? new DoubleDouble(sum[column], error[column])
                : DoubleDouble.of(sum[column]);
    }

    /** The sum, rounded once. */
    double value(int column) {
        return sum[column];
    }
}
