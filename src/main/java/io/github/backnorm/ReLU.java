package io.github.backnorm;

import io.github.backnorm.internal.Elementwise;
import java.util.function.IntFunction;

/**
 * Rectified linear unit, entry by entry: {@code a = max(y, 0)}.
 *
 * <p>Shapes: input and output are N×L, for any N and L. What {@link Layer} calls x and y is y and a in the
 * derivation and in the formulas here.
 *
 * <p>Given {@code da = ∂L/∂a}, {@link #backward} computes {@code dy = da} where y &gt; 0 and {@code dy = 0} elsewhere,
 * including the kink y = 0.
 *
 * <p>Numerical behavior: exact. Zeros are +0.0; where y is NaN, a and dy are NaN.
 *
 * <p>Threads: as {@link Layer} says.
 *
 * @see <a href="https://github.com/backnorm/backnorm/blob/main/docs/derivation.md">The derivation</a>
 */
public final class ReLU extends ArrayLayer<ReLU.Pass> implements Layer {
    /** What backward needs: the output. It is above 0 or NaN exactly where the input is, and 0 elsewhere. */
    record Pass(Matrix y) {}

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
        return forward(x, double[]::new);
    }

    @Override
    Matrix forward(Matrix x, IntFunction<double[]> arrayFor) {
        forget();
        requireInput(x, Method.FORWARD);
        Matrix y = rectified(x, arrayFor);
        remember(new Pass(y));
        return y;
    }

    @Override
    public Matrix infer(Matrix x) {
        requireInput(x, Method.INFER);
        return rectified(x, double[]::new);
    }

    private static Matrix rectified(Matrix x, IntFunction<double[]> arrayFor) {
        double[] y = arrayFor.apply(x.data().length);
        Elementwise.relu(x.data(), y); // (6)
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
        return backward(dy, double[]::new);
    }

    @Override
    Matrix backward(Matrix dy, IntFunction<double[]> arrayFor) {
        Matrix y = requirePass().y;
        Checks.requireShape(dy, y.rows(), y.columns(), "ReLU.backward", "dy");
        double[] dx = arrayFor.apply(y.data().length);
        Elementwise.reluBackward(y.data(), dy.data(), dx); // (24)
        return Matrix.wrap(y.rows(), y.columns(), dx);
    }

    /** {@return the type} */
    @Override
    public String toString() {
        return "ReLU";
    }

    @Override
    int outputColumns(int rows, int columns, Method method) {
        return columns;
    }

    @Override
    Layer copy() {
        return new ReLU();
    }
}
