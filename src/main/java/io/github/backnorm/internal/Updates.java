package io.github.backnorm.internal;

/**
 * Steps of optimizers: {@code updated} gets the entries of a parameter after the step, w has those before it, g the
 * gradient. All arrays have one length. A step is one pass without branches.
 *
 * <p>Every {@code a·b + c} in the formulas is one fused multiply-add. {@code keep} is what weight decay leaves of w, 1
 * if there is none: {@code 1·w} is w to the bit.
 */
public final class Updates {
    private Updates() {}

    /** Gradient descent: {@code updated = −rate·g + keep·w}. */
    public static void descend(double keep, double rate, double[] w, double[] g, double[] updated) {
        for (int i = 0; i < updated.length; i++) {
            updated[i] = Math.fma(-rate, g[i], keep * w[i]);
        }
    }

    /** Gradient descent with momentum: {@code b = momentum·b + g}, in place; {@code updated = −rate·b + keep·w}. */
    public static void descend(
            double keep, double rate, double momentum, double[] b, double[] w, double[] g, double[] updated) {
        for (int i = 0; i < updated.length; i++) {
            double velocity = Math.fma(momentum, b[i], g[i]);
            b[i] = velocity;
            updated[i] = Math.fma(-rate, velocity, keep * w[i]);
        }
    }

    /**
     * Adam, with the factors of one step:
     * <pre>{@code
     * m = α₁·(g − m) + m                        in place
     * v = (α₂·g)·g + (1 − α₂)·v                 in place
     * updated = −rate·m/(√v/root + ε) + keep·w
     * }</pre>
     *
     * @param rate the learning rate divided by the bias correction of m
     * @param keepSecond 1 − α₂
     * @param root the square root of the bias correction of v
     */
    public static void adam(
            double keep,
            double rate,
            double alpha1,
            double alpha2,
            double keepSecond,
            double root,
            double epsilon,
            double[] m,
            double[] v,
            double[] w,
            double[] g,
            double[] updated) {
        for (int i = 0; i < updated.length; i++) {
            double first = Math.fma(alpha1, g[i] - m[i], m[i]);
            double second = Math.fma(alpha2 * g[i], g[i], keepSecond * v[i]);
            m[i] = first;
            v[i] = second;
            updated[i] = Math.fma(-rate, first / (Math.sqrt(second) / root + epsilon), keep * w[i]);
        }
    }

    /** Sets entries that are subnormal to 0. */
    public static void flushSubnormal(double[] a) {
        for (int i = 0; i < a.length; i++) {
            if (Math.abs(a[i]) < Double.MIN_NORMAL) { // not NaN
                a[i] = 0;
            }
        }
    }
}
