package io.github.backnorm.internal;

import java.util.List;

/**
 * The square root of the sum of the squares of all entries of several arrays.
 *
 * <p>The sum has {@value #LANES} partial sums, so that C2 vectorizes and their roundings are few: entry i of an array
 * belongs to the one of index i mod {@value #LANES}. At the end they are added without error to speak of. A partial
 * sum of K fused multiply-adds has a relative error of at most K·u to first order, where {@code K ≤ Σ ⌈n/512⌉} over the
 * arrays and {@code u = 2⁻⁵³}; with the rounding of the total, and half of it all by the root, which rounds too, the
 * norm has {@code (K/2 + 3/2)·u}. Scaling to a given norm adds two roundings in each entry.
 *
 * <p>Where the sum is so small or large that squares may have underflowed or overflowed, it is formed again of entries
 * divided by a power of two that brings the largest to [1, 2).
 */
public final class EuclideanNorm {
    private static final int LANES = 512;

    /** From here on, what 2³¹ squares lose below 2⁻¹⁰⁷⁴ is nothing. */
    private static final double SMALL_SUM = 0x1p-900;

    private static final double LARGE_SUM = 0x1p1000;

    private final double root;
    private final int exponent;

    /** The norm is {@code root·2^exponent}. */
    private EuclideanNorm(double root, int exponent) {
        this.root = root;
        this.exponent = exponent;
    }

    /** The norm of arrays; NaN if an entry is, else infinite if an entry is. */
    public static EuclideanNorm of(List<double[]> arrays) {
        double squares = sumOfSquares(arrays, 1);
        if (squares >= SMALL_SUM && squares <= LARGE_SUM) {
            double norm = Math.sqrt(squares);
            int exponent = Math.getExponent(norm);
            return new EuclideanNorm(Math.scalb(norm, -exponent), exponent);
        }
        double largest = 0;
        for (double[] a : arrays) {
            for (double entry : a) {
                largest = Math.max(largest, Math.abs(entry));
            }
        }
        if (!(largest > 0 && largest <= Double.MAX_VALUE)) {
            return new EuclideanNorm(largest, 0);
        }
        int exponent = Math.getExponent(largest);
        return new EuclideanNorm(Math.sqrt(sumOfSquares(arrays, Math.scalb(1.0, -exponent))), exponent);
    }

    private static double sumOfSquares(List<double[]> arrays, double scale) {
        double[] sums = new double[LANES];
        for (double[] a : arrays) {
            for (int from = 0; from < a.length; from += LANES) {
                addSquares(scale, a, from, Math.min(LANES, a.length - from), sums);
            }
        }
        return CompensatedSum.of(LANES, sums, 0, 1).value();
    }

    private static void addSquares(double scale, double[] a, int from, int n, double[] sums) {
        for (int i = 0; i < n; i++) {
            double scaled = scale * a[from + i];
            sums[i] = Math.fma(scaled, scaled, sums[i]);
        }
    }

    /** Whether all entries are finite. */
    public boolean isFinite() {
        return Double.isFinite(root);
    }

    /** The norm; infinite also where all entries are finite but the norm is beyond the range of double. */
    public double value() {
        return Math.scalb(root, exponent);
    }

    /** {@code b = a·largest/norm}, for an array of this norm; a and b may be one. */
    public void scaleTo(double largest, double[] a, double[] b) {
        double scale = Math.scalb(1.0, -exponent);
        double factor = largest / root; // of scaled entries; the quotient by the norm itself may underflow or overflow
        for (int i = 0; i < b.length; i++) {
            b[i] = scale * a[i] * factor;
        }
    }
}
