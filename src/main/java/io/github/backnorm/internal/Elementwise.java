package io.github.backnorm.internal;

/** Operations entry by entry, on arrays of equal length; the result goes into the last array. */
public final class Elementwise {
    /** Entries of a task: 5 to 30 µs of work. */
    private static final int TASK = 1 << 15;

    /** Operations of a SIMD product in the time of an entry of ReLU's gradient: 15 in the caches, 60 in memory. */
    private static final int OPERATIONS = 30;

    private Elementwise() {}

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
        Kernels kernels = KernelChoice.chosen();
        int tasks = dy.length / TASK + 1; // the last one has what is left, or nothing
        kernels.parallel().run(kernels.parallel().helpers((double) OPERATIONS * dy.length), tasks, task -> {
            int from = task * TASK;
            kernels.reluBackward(from, from + Math.min(TASK, dy.length - from), y, da, dy);
        });
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
