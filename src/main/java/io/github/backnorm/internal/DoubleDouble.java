package io.github.backnorm.internal;

/**
 * A number as the unevaluated sum {@code hi + lo} of two doubles, {@code |lo| ≤ ½ ulp(hi)}: about 106 significant bits.
 *
 * <p>The error-free transformations {@link #sumError} and {@link #productError} return exactly what rounding took from
 * a sum or a product. Kernels apply them to arrays of leading words and arrays of error words. The other operations are
 * for the few numbers of each column.
 *
 * <p>Relative error of an operation, {@code u = 2⁻⁵³}, barring overflow and underflow; that of a sum is relative to the
 * magnitudes of its terms. The first three are algorithms of Joldes, Muller and Popescu:
 * <pre>{@code
 * plus          3u² + 5u³   SloppyDWPlusDW, shown at the method
 * times         5u²         DWTimesDW2, with the bound of Muller and Rideau
 * dividedBy     3.5u²       DWDivFP3
 * inverseSqrt   20u²        one step of Newton's iteration, shown at the method
 * }</pre>
 * A leading word that is NaN or infinite is the result of the formula in plain arithmetic, and its lo is 0.
 *
 * <p>References: T. J. Dekker, 1971, A floating-point technique for extending the available precision, Numer. Math.
 * 18. D. E. Knuth, 1998, The Art of Computer Programming, vol. 2, §4.2.2. M. Joldes, J.-M. Muller, V. Popescu, 2017,
 * Tight and rigorous error bounds for basic building blocks of double-word arithmetic, ACM Trans. Math. Softw. 44(2).
 * J.-M. Muller, L. Rideau, 2022, Formalization of double-word arithmetic, and comments on that paper, 48(1) there.
 */
public record DoubleDouble(double hi, double lo) {
    static final DoubleDouble ZERO = of(0);

    /** {@code a + b − sum}, exactly, for {@code sum = a + b} as rounded; barring overflow (Knuth's 2Sum). */
    static double sumError(double a, double b, double sum) {
        double bRounded = sum - a;
        return (a - (sum - bRounded)) + (b - bRounded);
    }

    /**
     * {@code a·b − product}, exactly, for {@code product = a·b} as rounded; barring overflow, and underflow of the
     * error.
     */
    static double productError(double a, double b, double product) {
        return Math.fma(a, b, -product);
    }

    /**
     * {@code leading + error} rounded; the leading word alone where the sum is NaN, because the error word has
     * overflowed.
     */
    static double rounded(double leading, double error) {
        double sum = leading + error;
        return Double.isNaN(sum) ? leading : sum;
    }

    static DoubleDouble of(double value) {
        return new DoubleDouble(value, 0);
    }

    /** {@code a + b} exactly. */
    static DoubleDouble sum(double a, double b) {
        double sum = a + b;
        return new DoubleDouble(sum, Double.isFinite(sum) ? sumError(a, b, sum) : 0);
    }

    /** {@code leading + error} exactly where {@code |leading| ≥ |error|} or leading is 0 (Dekker's Fast2Sum). */
    private static DoubleDouble fastSum(double leading, double error) {
        double sum = leading + error;
        return Double.isFinite(sum) ? new DoubleDouble(sum, error - (sum - leading)) : of(leading);
    }

    DoubleDouble negated() {
        return new DoubleDouble(-hi, -lo);
    }

    /**
     * The sum, with an error of at most {@code (3u² + 5u³)·(|this| + |other|)}, also where the sum cancels.
     *
     * <p>Let A be the sum of the magnitudes of the leading words. The low words amount to at most u·A, and adding them
     * costs u²·A; adding the error of the leading words' sum, also at most u·A, costs (2u² + u³)·A. The last addition
     * is exact: where its second term could exceed the sum of the leading words, that sum has cancelled to a multiple
     * of the second term's last place, or to 0.
     */
    public DoubleDouble plus(DoubleDouble other) {
        DoubleDouble high = sum(hi, other.hi);
        return fastSum(high.hi, high.lo + (lo + other.lo));
    }

    DoubleDouble times(DoubleDouble other) {
        double product = hi * other.hi;
        return fastSum(product, productError(hi, other.hi, product) + Math.fma(hi, other.lo, lo * other.hi));
    }

    public DoubleDouble dividedBy(double divisor) {
        double quotient = hi / divisor;
        double remainder = Math.fma(-quotient, divisor, hi); // exact, as the remainder of a rounded quotient is
        return fastSum(quotient, (remainder + lo) / divisor);
    }

    /**
     * {@code 1/√this} for a number of moderate size above 0: with {@code x = 1/√hi} in double,
     * {@code x + x·(1 − this·x²)/2}.
     *
     * <p>x is within a relative 2.5u of the result, and the iteration leaves 3/2 of the square of that, 9.4u². The
     * residual, at most 5u, is 1 − this·x² with an error of 5u² from the product and 5u² from the subtraction;
     * halved, and multiplied by x with one more rounding (2.5u²), it adds 7.5u².
     */
    DoubleDouble inverseSqrt() {
        double x = 1 / Math.sqrt(hi);
        double xSquare = x * x;
        DoubleDouble nearOne = times(new DoubleDouble(xSquare, productError(x, x, xSquare)));
        double residual = (1 - nearOne.hi) - nearOne.lo;
        return fastSum(x, 0.5 * x * residual);
    }

    /** Multiplied by 2^exponent, exactly barring overflow and underflow. */
    DoubleDouble scaled(int exponent) {
        return new DoubleDouble(Math.scalb(hi, exponent), Math.scalb(lo, exponent));
    }

    /** Rounded to a double. */
    public double value() {
        return rounded(hi, lo);
    }
}
