package io.github.backnorm;

import io.github.backnorm.internal.Elementwise;

/**
 * Rectified linear unit, entry by entry: {@code a = max(y, 0)}.
 *
 * <p>Shapes: input and output are N×L, for any N and L. The x and y of {@link Layer} are y and a here and in the
 * derivation.
 *
 * <p>Given {@code da = ∂L/∂a}, {@link #backward} computes {@code dy = da} where y &gt; 0 and {@code dy = 0}
 * elsewhere, at the kink y = 0 too.
 *
 * <p>Numerical behavior: exact. Zeros are +0.0; where y is NaN, a and dy are NaN.
 *
 * <p>Threads: as {@link Layer} says.
 */
public final class ReLU extends ArrayLayer implements Layer {
    private Pass pass;

    /** What backward needs: the output, which is above 0, NaN or 0 where the input is above 0, NaN or another number. */
    private record Pass(Matrix y) {}

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
        return forward(x, null);
    }

    @Override
    Matrix forward(Matrix x, double[] y) {
        pass = null;
        Matrix result = rectified(x, y, "forward");
        remember(result);
        return result;
    }

    @Override
    public Matrix infer(Matrix x) {
        return rectified(x, null, "infer");
    }

    private Matrix rectified(Matrix x, double[] y, String method) {
        outputColumns(x, method);
        boolean copied = y == null && Elementwise.isBetterCopied(x.data().length);
        double[] result = room(x, copied, y);
        Elementwise.relu(copied ? result : x.data(), result);
        return Matrix.wrap(x.rows(), x.columns(), result);
    }

    /** Takes the output of a forward pass that the layer before has done along with its own. */
    void remember(Matrix y) {
        pass = new Pass(y);
    }

    /** The output of the last forward pass, which dy must have the shape of. */
    Matrix output(Matrix dy) {
        Matrix y = Checks.requirePass(pass, "ReLU").y;
        Checks.requireShape(dy, y.rows(), y.columns(), "ReLU.backward", "dy");
        return y;
    }

    /**
     * {@inheritDoc} Derivation: (24).
     *
     * @param dy N×L
     * @return N×L
     */
    @Override
    public Matrix backward(Matrix dy) {
        return backward(dy, null);
    }

    @Override
    Matrix backward(Matrix dy, double[] dx) {
        Matrix y = output(dy);
        boolean copied = dx == null && Elementwise.isBetterCopied(dy.data().length);
        double[] result = room(dy, copied, dx);
        Elementwise.reluBackward(y.data(), copied ? result : dy.data(), result);
        return Matrix.wrap(y.rows(), y.columns(), result);
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

    @Override
    void forget() {
        pass = null;
    }

    @Override
    Layer copy() {
        return new ReLU();
    }
}
