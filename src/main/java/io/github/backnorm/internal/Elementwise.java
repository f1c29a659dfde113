package io.github.backnorm.internal;

/** Operations on entries one by one, over arrays of equal length; the result goes into the last array. */
public final class Elementwise {
    private static final int MOST_COPIED = 1 << 19; // 4 MB

    private Elementwise() {}

    /**
     * Whether a new array for what is computed entry by entry from another is better made as a copy of it, to be written
     * over: {@code Arrays.copyOf} takes no longer than an array of zeros does, and then the loop has an array less to read.
     * Where they do not fit in the caches, a copy takes longer.
     */
    public static boolean isBetterCopied(int length) {
        return length <= MOST_COPIED;
    }

    /** {@code c = a + b}. */
    public static void add(double[] a, double[] b, double[] c) {
        for (int i = 0; i < c.length; i++) {
            c[i] = a[i] + b[i];
        }
    }

    /** {@code c = a − b}. */
    public static void subtract(double[] a, double[] b, double[] c) {
        for (int i = 0; i < c.length; i++) {
            c[i] = a[i] - b[i];
        }
    }

    /** {@code c = a·b}. */
    public static void multiply(double[] a, double[] b, double[] c) {
        for (int i = 0; i < c.length; i++) {
            c[i] = a[i] * b[i];
        }
    }

    /** {@code b = factor·a}. */
    public static void scale(double factor, double[] a, double[] b) {
        for (int i = 0; i < b.length; i++) {
            b[i] = factor * a[i];
        }
    }

    /** {@code c = fma(factor, b, a)}. */
    public static void addScaled(double[] a, double factor, double[] b, double[] c) {
        for (int i = 0; i < c.length; i++) {
            c[i] = Math.fma(factor, b[i], a[i]);
        }
    }

    /** {@code a = y} for y &gt; 0, NaN for NaN, else +0.0: equation (6) of {@code docs/derivation.md}. */
    public static void relu(double[] y, double[] a) {
        for (int i = 0; i < a.length; i++) {
            a[i] = Math.max(y[i], 0.0);
        }
    }

    /** {@code dy = da} where y &gt; 0, NaN where y is NaN, else +0.0: equation (24) of {@code docs/derivation.md}. */
    public static void reluBackward(double[] y, double[] da, double[] dy) {
        Kernels.chosen().reluBackward(1, dy.length, y, 0, dy.length, da, dy);
    }

    /** The index of the first entry that is NaN or infinite, −1 if there is none. */
    public static int firstNonFinite(double[] a) {
        for (int i = 0; i < a.length; i++) {
            if (!Double.isFinite(a[i])) {
                return i;
            }
        }
        return -1;
    }
}
