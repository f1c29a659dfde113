package io.github.backnorm;

import io.github.backnorm.internal.Elementwise;

/**
 * Rectified linear unit, entry by entry: {@code a = max(y, 0)}.
 *
 * <p>Shapes: input and output are N×L, for any N and L. In the terms of {@link Layer}, x is the derivation's y and y
 * its a.
 *
 * <p>Given {@code da = ∂L/∂a}, {@link #backward} computes {@code dy = da} where y &gt; 0 and {@code dy = 0}
 * elsewhere, at the kink y = 0 too.
 *
 * <p>Numerical behavior: exact. Zeros are +0.0; where y is NaN, a and dy are NaN.
 *
 * <p>Threads: as {@link Layer} says.
 */
public final class ReLU extends BuiltInLayer implements Layer {
    private Pass pass;

    /** What backward needs: the input. */
    private record Pass(Matrix x) {}

    /** Makes the layer. */
    public ReLU() {}

    /**
     * {@inheritDoc} Derivation: (6).
     *
     * @param x N×L
     * @return N×L
     */
    @Override
    public Matrix forward(Matrix x) {
        pass = null;
        Matrix y = infer(x, "forward");
        pass = new Pass(x);
        return y;
    }

    @Override
    public Matrix infer(Matrix x) {
        return infer(x, "infer");
    }

    private Matrix infer(Matrix x, String method) {
        outputColumns(x, method);
        double[] y = new double[x.data().length];
        Elementwise.relu(x.data(), y);
        return Matrix.wrap(x.rows(), x.columns(), y);
    }

    /**
     * {@inheritDoc} Derivation: (24).
     *
     * @param dy N×L
     * @return N×L
     */
    @Override
    public Matrix backward(Matrix dy) {
        Matrix x = Checks.requirePass(pass, "ReLU").x;
        Checks.requireShape(dy, x.rows(), x.columns(), "ReLU.backward", "dy");
        double[] dx = new double[x.data().length];
        Elementwise.reluBackward(x.data(), dy.data(), dx);
        return Matrix.wrap(x.rows(), x.columns(), dx);
    }

    /** {@return the type} */
    @Override
    public String toString() {
        return "ReLU";
    }

    @Override
    int outputColumns(int rows, int columns, String method) {
        return columns;
    }

    @Override
    Object pass() {
        return pass;
    }
}
