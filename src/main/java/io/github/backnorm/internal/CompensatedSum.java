package io.github.backnorm.internal;

/**
 * A sum in two words: the rounding error of an addition is not lost but goes into the second word.
 *
 * <p>After n additions of terms t the two words are within {@code 11·n·u²·Σ|t|} of the exact sum, {@code u = 2⁻⁵³}, in
 * any order of the terms: each addition rounds only numbers of the size of the second word. The proof is in {@code
 * docs/numerics.md}. The addition is DWPlusFP of Joldes, Muller and Popescu (2017, Algorithm 4). The errors of all
 * additions are small relative to the terms, though not to a sum that has cancelled.
 *
 * <p>A sum that is not finite is that of plain additions. So may be one whose {@code Σ|t|} is beyond the range of
 * double.
 */
final class CompensatedSum {
    private double sum;
    private double error;

    void add(double term) {
        double plain = sum + term;
        double low = DoubleDouble.sumError(sum, term, plain) + error;
        sum = DoubleDouble.rounded(plain, low);
        error = low - (sum - plain);
    }

    /** The sum of n terms from an index on, a step apart. */
    static CompensatedSum of(int n, double[] terms, int from, int step) {
        CompensatedSum sum = new CompensatedSum();
        for (int i = 0, at = from; i < n; i++, at += step) {
            sum.add(terms[at]);
        }
        return sum;
    }

    DoubleDouble get() {
        return Double.isFinite(sum) ? new DoubleDouble(sum, error) : DoubleDouble.of(sum);
    }

    /** The sum, rounded once. */
    double value() {
        return sum;
    }
}
